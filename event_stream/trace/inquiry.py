"""Answers what a person asks: the trace of a change, and the changes of a key, out of every service's part."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from django.utils import timezone

from event_stream.trace.parts import Change, Missing, Part, Span
from event_stream.trace.peers import PeerClient, PeerError
from event_stream.trace.selectors import MAX_SPANS, changes_of, own_part, versions_of
from event_stream.trace.settings import Peer, trace_settings
from event_stream.trace.timeline import ONE_BY_ONE, Trace, trace_of

Answer = TypeVar("Answer")


def find_trace(correlation_id: str) -> Trace:
    """Ask this service and its peers. Raises django.db.Error where the database of this service is away."""
    settings = trace_settings()
    own = own_part(correlation_id, named_users=True)
    parts, spans, versions = [own], _spans([own]), _versions([own])
    with PeerClient(settings.peer_timeout_s) as client:
        answers = _ask(settings.peers, lambda peer: client.part(peer, correlation_id, spans=spans, versions=versions))
        found = {peer: answer for peer, answer in answers.items() if isinstance(answer, Part)}
        missing = [answer for answer in answers.values() if isinstance(answer, Missing)]
        # A peer has produced the change: now it is known where the consumers have to look.
        if of_peers := _spans(found.values()):
            all_versions = _versions([own, *found.values()])
            parts = [own_part(correlation_id, spans=of_peers, versions=all_versions, named_users=True)]
            consumers = {name: settings.peers[name] for name, part in found.items() if part.consumed.groups}
            again = _ask(
                consumers, lambda peer: client.part(peer, correlation_id, spans=of_peers, versions=all_versions)
            )
            found |= {name: answer for name, answer in again.items() if isinstance(answer, Part)}
            missing += [answer for answer in again.values() if isinstance(answer, Missing)]
    return trace_of(correlation_id, [*parts, *found.values()], missing, now=timezone.now())


@dataclass(frozen=True, slots=True)
class History:
    """The latest changes of a key, the newest first, and the services that could not be asked for more."""

    key: str
    changes: tuple[Change, ...]
    missing: tuple[Missing, ...]


def find_changes(key: str, version: int | None = None) -> History:
    """Ask whoever publishes changes of the key."""
    settings = trace_settings()
    changes = changes_of(key, version=version)
    with PeerClient(settings.peer_timeout_s) as client:
        answers = _ask(settings.peers, lambda peer: client.changes_of(peer, key, version)) if not changes else {}
    for answer in answers.values():
        if isinstance(answer, list):
            changes += answer
    newest = sorted(changes, key=lambda change: (change.version or 0, change.written_at), reverse=True)
    return History(key, tuple(newest), tuple(answer for answer in answers.values() if isinstance(answer, Missing)))


def _ask(peers: Mapping[str, Peer], question: Callable[[Peer], Answer]) -> dict[str, Answer | Missing]:
    answers: dict[str, Answer | Missing] = {}
    for name, peer in peers.items():
        try:
            answers[name] = question(peer)
        except PeerError as error:
            answers[name] = Missing(name, str(error))
    return answers


def _spans(parts: Collection[Part]) -> list[Span]:
    return [span for part in parts if part.produced is not None for span in part.produced.spans][:MAX_SPANS]


def _versions(parts: Collection[Part]) -> list[tuple[str, int]]:
    produced = [part.produced for part in parts if part.produced is not None]
    if sum(of.total for of in produced) > ONE_BY_ONE:
        return []
    return versions_of(change for of in produced for change in of.changes)
