"""A group reads its destination, keeps up, and may take the time that it needs."""

from collections.abc import Iterator

from event_stream.binding import Binding
from event_stream.doctor.bindings import NOT_KNOWN
from event_stream.doctor.finding import Finding, failed, ok, unknown, warning
from event_stream.errors import UnavailableError
from event_stream.inspection import Group, Inspectable, Limits
from event_stream.registry import registry

WAITING_NOTED = 10_000


def check(binding_name: str, *, worker: str) -> Iterator[Finding]:
    """`worker` is the command that reads for the binding's group, as one types it."""
    binding = registry().channel(binding_name).binding
    binder = registry().binder(binding.binder)
    subject = f"group {binding.group}"
    if not isinstance(binder, Inspectable):
        yield unknown(subject, NOT_KNOWN)
        return
    yield from _limits(subject, binding, binder.limits(binding), retained=binder.capabilities.retained)
    try:
        found = binder.describe(binding)
    except UnavailableError:
        yield unknown(subject, "the broker can't be asked")
        return
    if found.destination is None or found.group is None:
        yield unknown(subject, f"{binding.destination} is not there")
        return
    yield from _group(subject, found.group, worker)


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
        yield unknown(of_poll, NOT_KNOWN)
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


def _group(subject: str, group: Group, worker: str) -> Iterator[Finding]:
    if group.deleted:
        text = f"{group.deleted} messages were deleted by the topic's retention before it had handled them"
        yield failed(subject, text, f"start {worker}; what these messages told has to be found out in another way")
    if group.members == 0:
        waiting = "" if group.waiting is None else f", and {group.waiting} messages wait"
        yield failed(subject, f"nobody reads{waiting}", f"start {worker}")
    elif group.waiting is not None and group.waiting > WAITING_NOTED:
        text = f"{_members(group)} with {group.waiting} messages waiting"
        yield warning(subject, text, f"start more of {worker}, up to the number of partitions")
    elif not group.deleted:
        lag = "" if group.waiting is None else f", {group.waiting} messages waiting"
        yield ok(subject, f"{_members(group)}{lag}")


def _members(group: Group) -> str:
    return "read" if group.members is None else f"{group.members} member{'' if group.members == 1 else 's'}"
