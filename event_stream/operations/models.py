"""The tables of the operations pages. Nothing personal is in them: who did something is in Django's LogEntry."""

from django.db import models


class Operations(models.Model):
    """No table: what the pages' permissions and the admin's log entries belong to."""

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = [("operate", "Can pause, resume, evict and settle on the operations pages")]
        verbose_name = verbose_name_plural = "Operations"

    def __str__(self) -> str:
        return "Operations"


class Process(models.Model):
    """One part of a process, as it last told of itself: a relay inside a web process has a row of its own."""

    class Kind(models.TextChoices):
        WORKER = "worker"
        RELAY = "relay"
        WEB = "web"

    id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind)
    binding = models.CharField(max_length=200, blank=True)
    """Of a worker."""
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)
    """It ended in good order; one that was killed is only seen no more."""
    missed = models.PositiveIntegerField(default=0)
    """How many reports it could not write."""
    state = models.JSONField(default=dict)
    configuration = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["seen_at"], name="event_stream_process_seen")]

    def __str__(self) -> str:
        return f"{self.kind} {self.host}:{self.pid}"


class Pause(models.Model):
    """A person has paused a partition; or a whole binding, where `partition` is None."""

    binding = models.CharField(max_length=200)
    partition = models.PositiveIntegerField(null=True, blank=True)
    paused_at = models.DateTimeField(auto_now_add=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["binding", "partition"], name="event_stream_pause_partition"),
            models.UniqueConstraint(
                fields=["binding"], condition=models.Q(partition__isnull=True), name="event_stream_pause_binding"
            ),
        ]

    def __str__(self) -> str:
        return self.binding if self.partition is None else f"partition {self.partition} of {self.binding}"


class ConfigurationRefresh(models.Model):
    """A person has asked every process to read its settings again. The last one counts."""

    requested_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.id} {self.requested_at:%Y-%m-%d %H:%M:%S}"


class Settlement(models.Model):
    """Dead letters that a person has had replayed or discarded: how far it is, and what came of it."""

    verb = models.CharField(max_length=10)
    description = models.CharField(max_length=300)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    left = models.PositiveIntegerField(default=0)
    """Those that could not be; `problem` says why the first of them could not."""
    problem = models.TextField(blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.verb} {self.description}"


class Sample(models.Model):
    """A point of a chart: what one process has measured of a series by `at`, a multiple of the sample interval."""

    id = models.BigAutoField(primary_key=True)
    series = models.CharField(max_length=250)
    source = models.UUIDField()
    """The process."""
    at = models.DateTimeField()
    value = models.FloatField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["series", "at", "source"], name="event_stream_sample_point"),
        ]
        indexes = [models.Index(fields=["at"], name="event_stream_sample_purge")]

    def __str__(self) -> str:
        return f"{self.series} {self.at:%Y-%m-%d %H:%M:%S}"
