"""The platform answers, and each binding's destination is there, whole and kept safely."""

from collections.abc import Iterator
from datetime import timedelta

from django.core import checks

from event_stream.clock import SystemClock
from event_stream.conf import Binding, configuration, dead_letter_binding
from event_stream.consumer.group_watch import REMEDY, words
from event_stream.consumer.pauses import Pauses, pauses_of
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.log import dead_letter_log
from event_stream.doctor.examination import Finding, failed, not_told, ok, unknown, warning
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import BrokerAdmin, Description, Group, Limits, TopicDescription
from event_stream.messaging.channel import registry

NOT_KNOWN = "not known on this platform"
_CREATE = "create it, with the partitions and the copies that it should have"
_USE = "start those who send to it or read from it: the first one makes it"


def check_bindings() -> Iterator[Finding]:
    bindings = configuration().bindings.values()
    for name in configuration().binders:
        yield from _binder(name, [binding for binding in bindings if binding.binder == name])


def _binder(name: str, bindings: list[Binding]) -> Iterator[Finding]:
    subject, binder = f"broker {name}", registry().binder(name)
    if not isinstance(binder, BrokerAdmin):
        yield not_told(subject, NOT_KNOWN)
        return
    reached = False
    for binding in _one_for_each_destination(bindings):
        of_topic = f"topic {binding.destination}"
        try:
            description = binder.describe(binding)
        except UnavailableError as error:
            if not reached:
                yield failed(subject, str(error), "start it, or correct where the setting says that it is")
                for unasked in _one_for_each_destination(bindings):
                    yield unknown(f"topic {unasked.destination}", "the broker can't be asked")
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
    if description.servers == 1 and configuration().single_server:
        return ok(subject, "answers, and is the only one, as the setting single_server says")
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
    unsafe = list(_compaction(subject, there))
    unsafe += [] if description.servers == 1 else _safety(subject, there)
    yield from unsafe or [ok(subject, _words(there))]


def _dead_letters(subject: str, description: Description, source: TopicDescription | None) -> Iterator[Finding]:
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
            "let it take larger messages than its source: a letter has headers of its own",
        )


def _compaction(subject: str, there: TopicDescription) -> Iterator[Finding]:
    if there.compacted:
        text = (
            "is compacted: only the last message of each key is kept, and a reader that comes later misses the others"
        )
        yield warning(subject, text, "set the topic's cleanup.policy to delete")


def _safety(subject: str, there: TopicDescription) -> Iterator[Finding]:
    copies, in_sync, needed = there.copies, there.copies_in_sync, there.in_sync_needed
    if copies is None:
        return
    if copies == 1:
        text = "has one copy of each message: the loss of its server is the loss of events"
        yield warning(subject, text, "make it with three copies")
        return
    if in_sync is not None and needed is not None and in_sync < needed:
        yield failed(
            subject, f"takes no message: {in_sync} copies are in sync, {needed} have to be", "start the others"
        )
    elif in_sync is not None and in_sync < copies:
        yield warning(subject, f"{in_sync} of {copies} copies are in sync", "look at the servers that have the others")
    if needed == 1:
        text = "acknowledges a message that one copy alone has: lost with its server, it was never there"
        yield warning(subject, text, "require two copies to be in sync before a message is acknowledged")
    elif needed == copies:
        text = f"needs all of its {copies} copies: no server may be away"
        yield warning(subject, text, f"require {copies - 1} copies to be in sync")


def _words(there: TopicDescription) -> str:
    parts = [f"{there.partitions} partitions"] if there.partitions is not None else []
    if there.copies is not None:
        parts.append(f"{there.copies} {'copy' if there.copies == 1 else 'copies'} of each")
    if there.in_sync_needed is not None:
        parts.append(f"{there.in_sync_needed} to be in sync")
    return ", ".join(parts) or "is there"


WAITING_NOTED = 10_000


def check_group(binding_name: str, *, worker: str) -> Iterator[Finding]:
    """A group reads its destination, keeps up, and may take the time that it needs.

    `worker` is the command that reads for the binding's group, as one types it.
    """
    binding = registry().channel(binding_name).binding
    binder = registry().binder(binding.binder)
    subject = f"group {binding.group}"
    if not isinstance(binder, BrokerAdmin):
        yield not_told(subject, NOT_KNOWN)
        return
    yield from _limits(subject, binding, binder.limits(binding), retained=binder.capabilities.retained)
    try:
        description = binder.describe(binding)
    except UnavailableError:
        yield unknown(subject, "the broker can't be asked")
        return
    if description.destination is None or description.group is None:
        yield unknown(subject, f"{binding.destination} is not there")
        return
    yield from group_findings(subject, description.group, worker, pauses_of(binding_name))


def _limits(subject: str, binding: Binding, limits: Limits, *, retained: bool) -> Iterator[Finding]:
    of_start, of_poll = f"{subject}: first read", f"{subject}: poll budget"
    if not retained:
        yield ok(of_start, "gets what is sent once it has been there: this platform keeps nothing for a later group")
    elif limits.new_group_reads_all:
        yield ok(of_start, "without an offset it begins at the start: nothing is passed over")
    else:
        remedy = "set the offset reset to earliest"
        yield failed(of_start, "without an offset it begins at the end: what came before is passed over", remedy)
    budget_s, parking_s = limits.poll_budget_s, limits.parking_s
    if budget_s is None:
        yield not_told(of_poll, NOT_KNOWN)
        return
    in_a_row_s = (parking_s or 0) * binding.consumer.dead_letter_limit if binding.consumer.dead_letters else 0
    text = f"{budget_s:g} s between polls; retries wait outside of it"
    if in_a_row_s >= budget_s:
        yield warning(
            of_poll,
            f"{text}, but the {binding.consumer.dead_letter_limit} dead letters that may follow one another can take "
            f"{in_a_row_s:g} s on a slow broker, and the partitions would go to another member meanwhile",
            "lower dead_letter_limit or delivery_timeout_ms, or raise max_poll_interval_ms",
        )
    else:
        yield ok(of_poll, f"{text}, and parking takes {in_a_row_s:g} s at most" if in_a_row_s else text)


def group_findings(subject: str, group: Group, worker: str, paused: Pauses) -> Iterator[Finding]:
    """What the platform tells about a group; `paused` is what a person has paused of its binding."""
    if group.others:
        text = f"members that are not {worker}: {words(group.others)}"
        yield failed(f"{subject}: others", text, REMEDY)
    if group.deleted:
        text = f"{group.deleted} messages were deleted by the topic's retention before it had handled them"
        yield failed(subject, text, f"start {worker}; what these messages told has to be found out in another way")
    if group.members == 0:
        waiting = "" if group.waiting is None else f", and {group.waiting} messages wait"
        yield failed(subject, f"nobody reads{waiting}", f"start {worker}")
    elif paused:
        lag = "" if group.waiting is None else f", {group.waiting} messages waiting"
        yield ok(subject, f"{_members(group)}{lag}; paused on purpose: {paused}")
    elif group.waiting is not None and group.waiting > WAITING_NOTED:
        text = f"{_members(group)} with {group.waiting} messages waiting"
        yield warning(subject, text, f"start more of {worker}, up to the number of partitions")
    elif not group.deleted:
        lag = "" if group.waiting is None else f", {group.waiting} messages waiting"
        yield ok(subject, f"{_members(group)}{lag}")


def _members(group: Group) -> str:
    return "read" if group.members is None else f"{group.members} member{'' if group.members == 1 else 's'}"


def check_dead_letters() -> Iterator[Finding]:
    """No dead letter waits for a person."""
    for binding in configuration().bindings.values():
        if not binding.consumer.dead_letters:
            continue
        channel = dead_letter_channel(binding)
        subject = f"dead letters of {binding.group}"
        try:
            letters = dead_letter_log(channel.read()).letters
        except UnavailableError as error:
            yield unknown(subject, f"they can't be read: {error}")
            continue
        if not letters:
            yield ok(subject, "none")
            continue
        oldest_ms = SystemClock().now_ms() - min(open_letter.letter.parked_at_ms for open_letter in letters)
        age = timedelta(seconds=oldest_ms // 1000)
        remedy = f"manage.py dead_letters list --binding {binding.name}; then show, replay or discard them"
        yield warning(subject, f"{len(letters)} wait, the oldest for {age}", remedy)


def check_settings() -> Iterator[Finding]:
    """The settings are right: Django's own system checks, those of this package among them."""
    messages = checks.run_checks()
    for message in messages:
        make = failed if message.is_serious() else warning
        yield make("settings", f"{message.msg} ({message.id})", message.hint or "correct the setting")
    if not messages:
        yield ok("settings", "no system check complains")
