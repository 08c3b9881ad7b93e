"""Explains one entry of the cache in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from event_stream.fenced_cache.cache import FAULTS, FencedCache, unavailable
from event_stream.fenced_cache.entry import Tombstone, Value, Watermark, parse_entry, parse_watermark


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that Redis holds about an id, read at one moment. A time to live is None where there is no key."""

    id: str
    key: str
    partition: int
    entry: Value | Tombstone | None
    entry_ttl_ms: int | None
    lease: str | None
    lease_ttl_ms: int | None
    watermark: Watermark | None
    now_ms: int
    max_staleness_ms: int
    representation: bytes = b""
    """The representation that this version of the service reads."""
    other_settings: bool = False
    """Whether a worker with other settings than this process's wrote the watermark."""

    def lines(self) -> Iterator[str]:
        """Yield sentences: first the stored facts, then the conclusions."""
        yield f"{self.id} belongs to partition {self.partition}; its entry's key is {self.key}"
        if isinstance(self.entry, Value):
            yield from self._value_lines(self.entry)
        elif isinstance(self.entry, Tombstone):
            yield f"evicted by version {self.entry.version}: older fills are refused{_for(self.entry_ttl_ms)}"
        else:
            yield "no entry: never looked up, or expired"
        yield self._watermark_line()
        if self.lease is None:
            yield "no lease: no lookup is asking the origin"
        else:
            yield f"lease: {self.lease} is asking the origin{_for(self.lease_ttl_ms)}"

    def _watermark_line(self) -> str:
        if self.watermark is None:
            return "no watermark: the worker has not read this partition, or Redis lost it; it keeps no entry fresh"
        if self.other_settings:
            return "a worker with other settings wrote the watermark: nothing is fresh here (see manage.py doctor)"
        as_of_ms = self.watermark.as_of_ms
        until = f"every change before {_instant(as_of_ms)} is applied" if as_of_ms else "no heartbeat yet"
        return (
            f"watermark: applied up to offset {self.watermark.offset}, {until}, epoch {self.watermark.epoch.decode()}"
        )

    def _value_lines(self, value: Value) -> Iterator[str]:
        what = "known to be absent" if value.payload is None else f"a value of {len(value.payload)} bytes"
        yield f"{what}, version {value.version}, asked for at {_instant(value.as_of_ms)}; kept{_for(self.entry_ttl_ms)}"
        readable = value.readable_as(self.representation)
        if not readable:
            ours = _name(self.representation)
            yield f"its representation is {_name(value.representation)}, and this version of the service reads {ours}"
        watermark = None if self.other_settings else self.watermark
        if watermark is not None and value.epoch == watermark.epoch:
            yield f"epoch {value.epoch.decode()}, as the watermark's: the watermark keeps it fresh"
        else:
            yield f"epoch {value.epoch.decode() or '(none)'}, not the watermark's: only its own age counts"
        fresh_at_ms = value.fresh_at_ms(watermark)
        age_ms = self.now_ms - fresh_at_ms
        fresh = abs(age_ms) <= self.max_staleness_ms and not self.other_settings
        verdict = "a hit" if fresh else "stale, the next lookup asks the origin"
        if not readable:
            verdict = "a miss, because the representations differ"
        yield (
            f"known to be current at {_instant(fresh_at_ms)}, {age_ms / 1000:.3f} s ago: {verdict} "
            f"(the maximum staleness is {self.max_staleness_ms / 1000:g} s)"
        )


def explain(cache: FencedCache, id: str) -> Explanation:
    """Explain the entry of an id. Raises UnavailableError."""
    partition = cache.keys.partition_of(id)
    entry_key, lease_key = cache.keys.entry(id, partition), cache.keys.lease(id, partition)
    try:
        with cache.scripts.redis.pipeline() as pipeline:
            for key in (entry_key, lease_key):
                pipeline.get(key)
                pipeline.pttl(key)
            pipeline.get(cache.keys.watermark(partition))
            entry, entry_ttl_ms, lease, lease_ttl_ms, watermark = cast("list[bytes | int | None]", pipeline.execute())
    except FAULTS as error:
        raise unavailable(error) from error
    mark = parse_watermark(cast("bytes | None", watermark))
    return Explanation(
        id=id,
        key=entry_key,
        partition=partition,
        entry=parse_entry(cast("bytes | None", entry)),
        entry_ttl_ms=_ttl(entry_ttl_ms),
        lease=lease.decode() if isinstance(lease, bytes) else None,
        lease_ttl_ms=_ttl(lease_ttl_ms),
        watermark=mark,
        now_ms=cache.clock.now_ms(),
        max_staleness_ms=int(cache.settings.max_staleness_s * 1000),
        representation=cache.representation,
        other_settings=mark is not None and not cache.is_own(mark),
    )


def _ttl(answer: object) -> int | None:
    # Redis answers -1 for a key without an end, -2 for no key.
    return answer if isinstance(answer, int) and answer >= 0 else None


def _for(ttl_ms: int | None) -> str:
    return "" if ttl_ms is None else f" for another {ttl_ms / 1000:g} s"


def _name(representation: bytes) -> str:
    return representation.decode("ascii", "backslashreplace") or "(none)"


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
