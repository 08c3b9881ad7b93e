"""Where things lie and how they are written."""

import pytest
from redis.crc import key_slot

from event_stream.errors import ConfigurationError
from event_stream.fenced_cache import CacheSettings
from event_stream.fenced_cache.entry import Tombstone, Value, Watermark, parse_entry, parse_watermark
from event_stream.fenced_cache.keys import KeySpace, id_in


def test_the_names_are_those_of_the_design() -> None:
    keys = KeySpace("o", 6)
    id = "4d10ec24-141a-4980-be34-2ddb5e0458c7"
    partition = keys.partition_of(id)
    assert keys.entry(id, partition) == f"{{o{partition}}}:o:{id}"
    assert keys.lease(id, partition) == f"{{o{partition}}}:l:{id}"
    assert keys.watermark(partition) == f"{{o{partition}}}:wm"
    assert keys.id_of(keys.entry(id, partition), partition) == id


def test_an_ids_home_is_where_kafkas_java_client_puts_its_key() -> None:
    # Hashes from Kafka's own UtilsTest, as unsigned numbers.
    for key, murmur2 in {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}.items():
        assert KeySpace("o", 6).partition_of(key) == (murmur2 & 0x7FFFFFFF) % 6


def test_all_keys_of_a_partition_share_one_slot_of_a_cluster() -> None:
    keys = KeySpace("o", 12)
    for id in (f"{n}-x" for n in range(200)):
        partition = keys.partition_of(id)
        names = (keys.entry(id, partition), keys.lease(id, partition), keys.watermark(partition))
        assert len({key_slot(name.encode()) for name in names}) == 1


@pytest.mark.parametrize("namespace", ["", "{o}", "1o", "o*", "o:p"])
def test_a_namespace_that_would_break_the_keys_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigurationError, match=r"namespace is .* should"):
        KeySpace(namespace, 6)


def test_no_partitions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="partitions is 0"):
        KeySpace("o", 0)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"max_staleness_s": 0}, "max_staleness_s"),
        ({"hard_ttl_s": 9}, "hard_ttl_s"),
        ({"lease_ms": 0}, "lease_ms"),
        ({"tombstone_ttl_s": 3}, "tombstone_ttl_s"),
    ],
)
def test_times_that_make_no_sense_are_refused_by_name(settings: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is .*should be"):
        CacheSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "id"),
    [
        (None, None),
        (b"", None),
        (b"4d10ec24-141a-4980-be34-2ddb5e0458c7", "4d10ec24-141a-4980-be34-2ddb5e0458c7"),
        (b"two words", None),
        (b"line\n", None),
        (b"\xff\xfe", None),
        (b"a*", None),
        (b"x" * 128, "x" * 128),
        (b"x" * 129, None),
    ],
)
def test_what_looks_like_an_id(key: bytes | None, id: str | None) -> None:
    assert id_in(key) == id


@pytest.mark.parametrize(
    ("raw", "entry"),
    [
        (None, None),
        (b"V|7|ep|1000|{}", Value(7, b"ep", 1000, b"{}")),
        (b"V|7||1000|a|b|c", Value(7, b"", 1000, b"a|b|c")),
        (b"V|7|ep|1000~v2|a~b", Value(7, b"ep", 1000, b"a~b", b"v2")),
        (b"A|7|ep|1000|", Value(7, b"ep", 1000, None)),
        (b"T|9007199254740992", Tombstone(9007199254740992)),
        (b"T|x", None),
        (b"V|7|ep", None),
        (b"V|x|ep|1|{}", None),
        (b"", None),
        (b"\x80\x04pickle", None),
    ],
)
def test_entries_are_read_and_anything_else_is_no_entry(raw: bytes | None, entry: Value | Tombstone | None) -> None:
    assert parse_entry(raw) == entry


@pytest.mark.parametrize(
    ("raw", "watermark"),
    [
        (None, None),
        (b"ep|-1|0", Watermark(b"ep", -1, 0)),
        (b"|5|0", None),
        (b"ep|5", None),
        (b"ep|x|0", None),
    ],
)
def test_watermarks_are_read_and_anything_else_is_none(raw: bytes | None, watermark: Watermark | None) -> None:
    assert parse_watermark(raw) == watermark
