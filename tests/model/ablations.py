"""The protocol with a part left out, and what people do instead of it: each must be seen to fail (`test_ablations`)."""

from typing import Unpack

from tests.model import protocol
from tests.model.configuration import Batch, Rules
from tests.model.protocol import Applied, Cache, Filled, Floor, Time, Token, Value, Version
from tests.model.world import ADOPTED

# The parts of the protocol, left out one at a time.


def apply_keeping_the_lease(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    after, applied = protocol.apply(cache, **batch)
    return after._replace(lease=cache.lease), applied


def apply_without_floor(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    after, applied = protocol.apply(cache, **batch)
    return after._replace(entry=None if isinstance(after.entry, Floor) else after.entry), applied


def apply_at_any_offset(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    if cache.watermark is not None:
        batch["prev"] = cache.watermark.offset
    return protocol.apply(cache, **batch)


def apply_in_the_same_epoch(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    batch["new_epoch"] = ADOPTED
    return protocol.apply(cache, **batch)


def fill_with_the_epoch_of_now(cache: Cache, token: Token, version: Version, as_of: Time) -> tuple[Cache, Filled]:
    after, filled = protocol.fill(cache, token, version, as_of)
    if filled is Filled.FILLED and isinstance(after.entry, Value):
        after = after._replace(entry=after.entry._replace(epoch=cache.watermark.epoch if cache.watermark else None))
    return after, filled


def fill_whatever_the_version(cache: Cache, token: Token, version: Version, as_of: Time) -> tuple[Cache, Filled]:
    return protocol.fill(cache._replace(entry=None), token, version, as_of)


# What stands in for it elsewhere: no watermark, a value trusted as long as it is there, the offset kept by the broker.


def is_there(cache: Cache) -> bool:
    return isinstance(cache.entry, Value)


def ask_without_lease(cache: Cache, token: Token) -> tuple[Cache, bool]:
    del token
    return cache, True


def fill_always(cache: Cache, token: Token, version: Version, as_of: Time) -> tuple[Cache, Filled]:
    del token
    return cache._replace(entry=Value(version, None, as_of)), Filled.FILLED


def fill_unless_older(cache: Cache, token: Token, version: Version, as_of: Time) -> tuple[Cache, Filled]:
    if cache.entry is not None and cache.entry.version > version:
        return cache, Filled.OLDER
    return fill_always(cache, token, version, as_of)


def apply_deleting(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    return (cache._replace(entry=None) if batch["events"] else cache), Applied.OK


def apply_without_watermark(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    """Lease and floor only: what is left where the binder cannot seek (RabbitMQ)."""
    in_step = protocol.begin_epoch(cache, batch["prev"], batch["new_epoch"])
    after, applied = protocol.apply(in_step, **batch)
    return after._replace(watermark=None), applied


def apply_without_versions(cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]:
    """The lease alone: what is left where the origin gives no versions, and no event's version is believed."""
    batch["events"] = [None for _ in batch["events"]]
    after, applied = apply_without_watermark(cache, **batch)
    return after._replace(entry=None if isinstance(after.entry, Floor) else after.entry), applied


CACHE_ASIDE = Rules(
    lease=ask_without_lease, fill=fill_always, apply=apply_deleting, is_fresh=is_there, leases=False, watermark=False
)
COMPARE_AND_SET = Rules(
    lease=ask_without_lease,
    fill=fill_unless_older,
    apply=apply_deleting,
    is_fresh=is_there,
    leases=False,
    watermark=False,
)
COMPARE_AND_SET_WITH_FLOOR = Rules(
    lease=ask_without_lease,
    fill=fill_unless_older,
    apply=apply_without_watermark,
    is_fresh=is_there,
    leases=False,
    watermark=False,
)
LEASE_AND_FLOOR = Rules(apply=apply_without_watermark, is_fresh=is_there, watermark=False)
LEASE_ALONE = Rules(fill=fill_whatever_the_version, apply=apply_without_versions, is_fresh=is_there, watermark=False)
