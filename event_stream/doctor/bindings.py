"""The platform answers, and each binding's destination is there, whole and kept safely."""

from collections.abc import Iterator

from event_stream.binding import Binding
from event_stream.conf import configuration
from event_stream.dead_letters import dead_letter_binding
from event_stream.doctor.finding import Finding, failed, ok, unknown, warning
from event_stream.errors import UnavailableError
from event_stream.inspection import Description, Destination, Inspectable
from event_stream.registry import registry

NOT_KNOWN = "not known on this platform"
_CREATE = "./manage_scripts/create_topics makes it"
_USE = "start those who send to it or read from it: the first one makes it"


def check() -> Iterator[Finding]:
    bindings = configuration().bindings.values()
    for name in configuration().binders:
        yield from _binder(name, [each for each in bindings if each.binder == name])


def _binder(name: str, bindings: list[Binding]) -> Iterator[Finding]:
    subject, binder = f"broker {name}", registry().binder(name)
    if not isinstance(binder, Inspectable):
        yield unknown(subject, NOT_KNOWN)
        return
    reached = False
    for binding in _one_for_each_destination(bindings):
        of_topic = f"topic {binding.destination}"
        try:
            description = binder.describe(binding)
        except UnavailableError as error:
            if not reached:
                yield failed(subject, str(error), "start it, or correct where the setting says that it is")
                for each in _one_for_each_destination(bindings):
                    yield unknown(f"topic {each.destination}", "the broker can't be asked")
                return
            yield failed(of_topic, str(error), "look at the broker")
            continue
        if not reached:
            reached = True
            yield _servers(subject, description)
        yield from _destination(of_topic, description)
        if binding.consumer.dead_letters:
            parked = dead_letter_binding(binding)
            yield from _dead_letters(f"topic {parked.destination}", binder.describe(parked), description.destination)


def _one_for_each_destination(bindings: list[Binding]) -> list[Binding]:
    """Rather one that parks dead letters, whose destination is then looked at as well."""
    found: dict[tuple[str, str | None], Binding] = {}
    for binding in sorted(bindings, key=lambda each: not each.consumer.dead_letters):
        key = (binding.destination, binding.group if binding.consumer.dead_letters else None)
        if binding.destination not in {destination for destination, _ in found} or binding.consumer.dead_letters:
            found.setdefault(key, binding)
    return list(found.values())


def _servers(subject: str, description: Description) -> Finding:
    if description.servers == 1:
        return warning(subject, "answers, and is the only one: lost, it takes the events along", "run at least three")
    count = "" if description.servers is None else f", {description.servers} of them"
    return ok(subject, f"answers{count}")


def _destination(subject: str, description: Description) -> Iterator[Finding]:
    there = description.destination
    if there is None:
        yield failed(subject, "is not there", _USE if description.made_by_use else _CREATE)
        return
    # Of a single server that has been said already.
    unsafe = [] if description.servers == 1 else list(_safety(subject, there))
    yield from unsafe or [ok(subject, _words(there))]


def _dead_letters(subject: str, description: Description, source: Destination | None) -> Iterator[Finding]:
    yield from _destination(subject, description)
    there = description.destination
    if there is None or source is None:
        return
    if None not in (there.partitions, source.partitions) and there.partitions != source.partitions:
        text = f"has {there.partitions} partitions where {source.partitions} should be, as many as its source"
        yield failed(subject, text, "make it anew once its letters are dealt with: a letter lies where its origin lay")
    if there.largest_message and source.largest_message and there.largest_message <= source.largest_message:
        yield warning(
            subject,
            f"takes messages up to {there.largest_message} bytes and its source up to {source.largest_message}: the "
            "largest would be parked without their bodies",
            "raise its max.message.bytes, as deploy/kafka/topics.yaml has it",
        )


def _safety(subject: str, there: Destination) -> Iterator[Finding]:
    copies, in_sync, needed = there.copies, there.copies_in_sync, there.in_sync_needed
    if copies is None:
        return
    if copies == 1:
        text = "has one copy of each message: the loss of its server is the loss of events"
        yield warning(subject, text, "make it with three copies, as deploy/kafka/topics.yaml has it")
        return
    if in_sync is not None and needed is not None and in_sync < needed:
        yield failed(
            subject, f"takes no message: {in_sync} copies are in sync, {needed} have to be", "start the others"
        )
    elif in_sync is not None and in_sync < copies:
        yield warning(subject, f"{in_sync} of {copies} copies are in sync", "look at the servers that have the others")
    if needed == 1:
        text = "acknowledges a message that one copy alone has: lost with its server, it was never there"
        yield warning(subject, text, "set its min.insync.replicas to 2")
    elif needed == copies:
        text = f"needs all of its {copies} copies: no server may be away"
        yield warning(subject, text, f"set its min.insync.replicas to {copies - 1}")


def _words(there: Destination) -> str:
    parts = [f"{there.partitions} partitions"] if there.partitions is not None else []
    if there.copies is not None:
        parts.append(f"{there.copies} {'copy' if there.copies == 1 else 'copies'} of each")
    if there.in_sync_needed is not None:
        parts.append(f"{there.in_sync_needed} to be in sync")
    return ", ".join(parts) or "is there"
