"""The Redis of a fenced cache: reachable, not about to forget or refuse, its clock right, its watermarks moving.

What the cache needs of Redis when memory runs out. Losing an entry, a lease or a floor costs a call to the origin;
losing a watermark, which has no time to live, costs all entries of its partition. None of them makes an answer wrong
(`tests/model`), so nothing here is more than a warning:

noeviction                       writes are refused: nothing is forgotten, nothing new is cached, evictions wait
volatile-lru, -lfu, -random      entries go and watermarks stay
volatile-ttl                     the leases go first, whose time is shortest: then nothing can be filled in
allkeys-*                        watermarks may go
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from redis import Redis

from event_stream.consumer.pauses import NO_PAUSES, Pauses
from event_stream.doctor.database import clock
from event_stream.doctor.examination import Finding, failed, ok, unknown, warning
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import FencedCache
from event_stream.fenced_cache.cache import FAULTS
from event_stream.fenced_cache.redis_cluster import primaries

_SOUND_POLICIES = {"noeviction", "volatile-lru", "volatile-lfu", "volatile-random"}
_FULL_SHARE = 0.9
_POLICY_REMEDY = "set maxmemory-policy to noeviction or volatile-lfu"


def check(
    cache: FencedCache, *, worker: str, remedy: str, has_log: bool = True, paused: Pauses = NO_PAUSES
) -> Iterator[Finding]:
    """`worker` is the command that applies changes to the cache, as one types it; `remedy` says how to give it and this
    process the same settings.

    `has_log` says whether a log is behind it, whose heartbeats keep entries fresh: see `Capabilities.seekable`, and
    whether the origin gives versions. `paused` are partitions that a person has paused: their watermarks stand still.
    """
    subjects = ("clock of Redis", "shared settings", "watermarks")
    try:
        for address, server in primaries(cache.scripts.redis):
            name = f" {address}" if address else ""
            information: dict[str, Any] = server.info()
            yield ok(f"Redis{name}", f"answers: version {_version(information)}")
            yield from _memory(information, name)
            yield from _persistence(information, name)
            yield clock(f"{subjects[0]}{name}", partial(_server_time_s, server), cache.settings.max_staleness_s)
        yield _shared_settings(cache, worker, remedy)
        if (reason := cache.contention()) is not None:
            text, _, advice = reason.partition(". ")
            yield failed("workers", text, advice or "give each installation a Redis database of its own")
        if has_log:
            yield from _watermarks(cache, worker, paused)
        else:
            yield ok("watermarks", f"none: an entry is good for {cache.settings.max_staleness_s:g} s from its call on")
    except (*FAULTS, UnavailableError) as error:
        yield failed(
            "Redis", f"does not answer: {error}", "start it, or correct REDIS_URL; lookups do without meanwhile"
        )
        for subject in subjects:
            yield unknown(subject, "Redis can't be asked")


def _memory(information: dict[str, Any], name: str) -> Iterator[Finding]:
    policy, used, limit = information["maxmemory_policy"], information["used_memory"], information["maxmemory"]
    if policy.startswith("allkeys"):
        text = f"{policy} may drop a watermark when memory runs out, and with it all entries of its partition"
        yield warning(f"Redis eviction{name}", text, _POLICY_REMEDY)
    elif policy not in _SOUND_POLICIES:
        text = f"{policy} drops leases first when memory runs out: nothing could be filled in any longer"
        yield warning(f"Redis eviction{name}", text, _POLICY_REMEDY)
    else:
        yield ok(f"Redis eviction{name}", f"{policy}: a watermark is never dropped")
    room = limit or information.get("total_system_memory", 0)
    text = f"{_megabytes(used)} of {_megabytes(room)} used{'' if limit else ', with no maxmemory set'}"
    if room and used > room * _FULL_SHARE:
        remedy = "raise maxmemory, or let entries go sooner, by a shorter time to live"
        yield warning(f"Redis memory{name}", text, remedy)
    else:
        yield ok(f"Redis memory{name}", text)


def _persistence(information: dict[str, Any], name: str) -> Iterator[Finding]:
    failing = [
        what
        for what, state in (
            ("the append-only file", information.get("aof_last_write_status")),
            ("the last snapshot", information.get("rdb_last_bgsave_status")),
        )
        if state not in {None, "ok"}
    ]
    if failing:
        text = f"{' and '.join(failing)} could not be written: Redis may refuse writes because of it"
        yield warning(f"Redis persistence{name}", text, "look at its disk")
    elif information.get("aof_enabled"):
        yield ok(f"Redis persistence{name}", "append-only file: the cache outlives a restart")
    else:
        yield ok(f"Redis persistence{name}", "no append-only file: after a restart lookups fill the cache again")


def _shared_settings(cache: FencedCache, worker: str, remedy: str) -> Finding:
    subject, recorded = "shared settings", cache.recorded()
    if recorded is None:
        return warning(
            subject, "no worker has recorded its own, so there is nothing to compare with", f"start {worker}"
        )
    if recorded.settings != cache.shared:
        text = f"{cache.shared.difference(recorded.settings)}: nothing is fresh here, and lookups ask the origin"
        return failed(subject, text, remedy)
    return ok(subject, f"the worker has the same: {', '.join(f'{k} {v}' for k, v in cache.shared.values.items())}")


def _watermarks(cache: FencedCache, worker: str, paused: Pauses) -> Iterator[Finding]:
    read = [partition for partition in range(cache.keys.partitions) if partition not in paused]
    if paused:
        yield ok("watermarks", f"paused on purpose: {paused}; lookups there ask the origin once entries are stale")
    if not read:
        return
    found = [cache.watermark(partition) for partition in read]
    # What a worker with other settings has written says nothing here.
    marks = [mark if mark is not None and cache.is_own(mark) else None for mark in found]
    max_staleness_ms, now_ms = cache.settings.max_staleness_s * 1000, cache.clock.now_ms()
    behind_ms = [now_ms - mark.as_of_ms for mark in marks if mark is not None and mark.as_of_ms]
    missing = len(marks) - len(behind_ms)
    ask_always = "lookups there ask the origin each time"
    if missing:
        text = f"{missing} of {len(marks)} partitions have had no heartbeat: {ask_always}"
        yield warning("watermarks", text, f"start {worker}, and the relay that sends heartbeats")
    elif max(behind_ms) > max_staleness_ms:
        late = sum(each > max_staleness_ms for each in behind_ms)
        text = (
            f"{late} of {len(marks)} are older than {max_staleness_ms / 1000:g} s, one by {max(behind_ms) / 1000:.0f} s"
        )
        yield warning("watermarks", f"{text}: {ask_always}", f"look at {worker}, at the relay and at the broker")
    elif min(behind_ms) < -max_staleness_ms / 10:
        text = f"one is {-min(behind_ms) / 1000:.3f} s ahead of this machine's clock"
        yield warning("watermarks", text, "let one time service (NTP) set the clocks of all machines")
    else:
        yield ok(
            "watermarks", f"the oldest is {max(behind_ms) / 1000:.1f} s old, {max_staleness_ms / 1000:g} s are allowed"
        )


def _version(information: dict[str, Any]) -> str:
    return str(information.get("valkey_version") or information["redis_version"])


def _server_time_s(server: Redis) -> float:
    seconds, microseconds = server.time()
    return float(seconds) + float(microseconds) / 1e6


def _megabytes(count: int) -> str:
    return f"{count / 1_048_576:.1f} MiB"
