"""What this service has done to messages and cached values: rows about batches, none about a single message."""

from django.db import models


class HandledBatch(models.Model):
    """Consecutive records of one partition that a worker has handled in one go.

    A message is found by where it lies: `destination`, `partition` and an offset from `first_offset` to `last_offset`.
    """

    destination = models.TextField()
    group = models.TextField()
    partition = models.IntegerField()
    first_offset = models.BigIntegerField()
    last_offset = models.BigIntegerField()
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(db_index=True)
    process = models.TextField()
    # How many keys the batch has evicted; None where its handler keeps no cache.
    evictions = models.IntegerField(null=True)

    class Meta:
        db_table = "event_stream_trace_batch"
        verbose_name_plural = "handled batches"
        indexes = [
            models.Index(fields=["destination", "partition", "last_offset"], name="event_stream_trace_offset"),
        ]

    def __str__(self) -> str:
        return f"{self.destination}[{self.partition}] {self.first_offset} to {self.last_offset}"


class PartitionState(models.Model):
    """Where a group's worker stands in a partition, as the worker has said last."""

    destination = models.TextField()
    group = models.TextField()
    partition = models.IntegerField()
    # The next offset; None before the first batch.
    position = models.BigIntegerField(null=True)
    seen_at = models.DateTimeField()
    process = models.TextField()
    paused_at = models.DateTimeField(null=True)
    reason = models.TextField(db_default="", blank=True)
    # The worker has ended as it should, and nobody has the partition until another says so.
    stopped = models.BooleanField(db_default=False)

    class Meta:
        db_table = "event_stream_trace_partition"
        constraints = [
            models.UniqueConstraint(
                fields=["destination", "group", "partition"], name="event_stream_trace_one_partition"
            )
        ]

    def __str__(self) -> str:
        return f"{self.destination}[{self.partition}] of {self.group}"


class ParkedRecord(models.Model):
    """A record that a worker has parked as a dead letter."""

    destination = models.TextField()
    group = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    parked_at = models.DateTimeField(db_index=True)
    process = models.TextField()
    # The class of the error: its text may quote the message.
    error = models.TextField()
    # An earlier record of its key is parked, and it waits behind that one.
    blocked = models.BooleanField(db_default=False)

    class Meta:
        db_table = "event_stream_trace_parked"
        constraints = [
            models.UniqueConstraint(
                fields=["destination", "partition", "offset", "group"], name="event_stream_trace_parked_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.destination}[{self.partition}] at offset {self.offset}"


class SettledRecord(models.Model):
    """What became of a parked record: a person has discarded it, or replayed it to another place in its destination."""

    destination = models.TextField()
    group = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    settled_at = models.DateTimeField(db_index=True)
    process = models.TextField()
    # Where the replay lies; None where the record was discarded.
    replay_partition = models.IntegerField(null=True)
    replay_offset = models.BigIntegerField(null=True)

    class Meta:
        db_table = "event_stream_trace_settled"
        indexes = [
            models.Index(fields=["destination", "partition", "offset"], name="event_stream_trace_settlement"),
        ]

    def __str__(self) -> str:
        return f"{self.destination}[{self.partition}] at offset {self.offset}"


class CacheFill(models.Model):
    """The first time that a version of a key came into the cache, and the answer that brought it."""

    key = models.TextField()
    version = models.BigIntegerField()
    filled_at = models.DateTimeField(db_index=True)
    answered_at = models.DateTimeField()
    process = models.TextField()
    # Of the request that looked the key up.
    correlation_id = models.TextField(db_index=True)

    class Meta:
        db_table = "event_stream_trace_fill"
        constraints = [models.UniqueConstraint(fields=["key", "version"], name="event_stream_trace_first_fill")]

    def __str__(self) -> str:
        return f"{self.key} version {self.version}"


class Trace(models.Model):
    """The trace of a change, for the admin: made of what was recorded, with no table of its own."""

    correlation_id = models.TextField(primary_key=True)

    class Meta:
        managed = False
        default_permissions = ("view",)
        verbose_name = "trace"

    def __str__(self) -> str:
        return self.correlation_id
