"""Where things lie in Redis. All keys of one partition of the log share one slot of a Redis Cluster.

{oP}:o:<id>   the entry of an id          P: the id's partition, as Kafka places a key among `partitions`
{oP}:l:<id>   its lease                   o: the namespace
{oP}:wm       the partition's watermark   braces: what Redis Cluster hashes
{o}:settings  the settings of the workers
{o}:contended what is wrong while workers of two logs keep the watermarks
"""

import re
from functools import lru_cache

from event_stream.errors import ConfigurationError
from event_stream.messaging.partitioner import partition_for

_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")


def is_id(text: str) -> bool:
    """1 to 128 visible ASCII characters, none of which would be taken for a part of a key or a pattern."""
    return _ID.fullmatch(text) is not None


def id_in(key: bytes | None) -> str | None:
    """The id that a record's key seems to be; None where it can't be one."""
    text = key.decode("ascii", "replace") if key else ""
    return text if is_id(text) else None


class KeySpace:
    """The names of one cache's keys."""

    def __init__(self, namespace: str, partitions: int) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", namespace):
            raise ConfigurationError(
                f"namespace is {namespace!r}; it should begin with a letter, then letters, digits, '_', '.', '-'"
            )
        if partitions < 1:
            raise ConfigurationError(f"partitions is {partitions}; it should be the log's number of partitions")
        self.namespace = namespace
        self.partitions = partitions
        slots = [f"{{{namespace}{partition}}}" for partition in range(partitions)]
        self._entries = [f"{slot}:{namespace}:" for slot in slots]
        self._leases = [f"{slot}:l:" for slot in slots]
        self._watermarks = [f"{slot}:wm" for slot in slots]
        self.shared_settings = f"{{{namespace}}}:settings"
        self.contended = f"{{{namespace}}}:contended"

    def partition_of(self, id: str) -> int:
        """The partition whose events are about this id."""
        return _home(id, self.partitions)

    def entry(self, id: str, partition: int) -> str:
        return self._entries[partition] + id

    def lease(self, id: str, partition: int) -> str:
        return self._leases[partition] + id

    def watermark(self, partition: int) -> str:
        return self._watermarks[partition]

    def entries_pattern(self, partition: int) -> str:
        """A SCAN pattern for the partition's entries."""
        return f"{self._entries[partition]}*"

    def id_of(self, entry_key: str, partition: int) -> str:
        """The id whose entry has this key."""
        return entry_key.removeprefix(self._entries[partition])


@lru_cache(maxsize=10_000)
def _home(id: str, partitions: int) -> int:
    # Hashing in Python takes a tenth of the time of a read.
    return partition_for(id.encode(), partitions)
