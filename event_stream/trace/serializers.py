"""The parts of a trace as JSON, in both directions: what this service answers, and what it believes of a peer."""
# ruff: noqa: N815  (the names of the JSON)

from typing import Any

from rest_framework import serializers

from event_stream.trace.parts import (
    Change,
    Consumed,
    Fill,
    Group,
    Handled,
    Parked,
    Part,
    Produced,
    Span,
    Standing,
)


class ChangeSerializer(serializers.Serializer[Change]):
    correlationId = serializers.CharField(source="correlation_id")
    key = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField(allow_null=True)
    destination = serializers.CharField()
    writtenAt = serializers.DateTimeField(source="written_at", help_text="When the change's row was written.")
    sentAt = serializers.DateTimeField(source="sent_at", allow_null=True)
    partition = serializers.IntegerField(allow_null=True)
    offset = serializers.IntegerField(allow_null=True)
    parkedAt = serializers.DateTimeField(source="parked_at", allow_null=True)
    error = serializers.CharField(allow_blank=True, help_text="Why it is parked.")
    byTrigger = serializers.BooleanField(source="by_trigger", help_text="The write bypassed the ORM.")
    user = serializers.CharField(allow_blank=True)
    requestedAt = serializers.DateTimeField(
        source="requested_at", allow_null=True, default=None, help_text="When the request began."
    )
    writtenBy = serializers.CharField(source="written_by", allow_blank=True, default="", help_text="host:pid")
    sentBy = serializers.CharField(source="sent_by", allow_blank=True, default="", help_text="host:pid")


class SpanSerializer(serializers.Serializer[Span]):
    destination = serializers.CharField()
    partition = serializers.IntegerField()
    first = serializers.IntegerField()
    last = serializers.IntegerField()
    count = serializers.IntegerField()


class ProducedSerializer(serializers.Serializer[Produced]):
    total = serializers.IntegerField(help_text="The messages of the change.")
    sent = serializers.IntegerField()
    parked = serializers.IntegerField()
    capped = serializers.BooleanField(help_text="There are more than `total`.")
    changes = ChangeSerializer(many=True)
    spans = SpanSerializer(many=True)
    relayLeads = serializers.BooleanField(source="relay_leads", allow_null=True)
    ahead = serializers.IntegerField(help_text="Messages of others that the relay sends first.")


class GroupSerializer(serializers.Serializer[Group]):
    destination = serializers.CharField()
    name = serializers.CharField()
    fills = serializers.BooleanField()


class HandledSerializer(serializers.Serializer[Handled]):
    destination = serializers.CharField()
    group = serializers.CharField()
    partition = serializers.IntegerField()
    first = serializers.IntegerField()
    last = serializers.IntegerField()
    receivedAt = serializers.DateTimeField(source="received_at")
    handledAt = serializers.DateTimeField(source="handled_at")
    process = serializers.CharField()
    evictions = serializers.IntegerField(allow_null=True)


class StandingSerializer(serializers.Serializer[Standing]):
    destination = serializers.CharField()
    group = serializers.CharField()
    partition = serializers.IntegerField()
    position = serializers.IntegerField(allow_null=True)
    seenAt = serializers.DateTimeField(source="seen_at")
    process = serializers.CharField()
    pausedAt = serializers.DateTimeField(source="paused_at", allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    stopped = serializers.BooleanField()


class ParkedSerializer(serializers.Serializer[Parked]):
    destination = serializers.CharField()
    group = serializers.CharField()
    partition = serializers.IntegerField()
    offset = serializers.IntegerField()
    parkedAt = serializers.DateTimeField(source="parked_at")
    process = serializers.CharField()
    error = serializers.CharField()
    blocked = serializers.BooleanField()
    settledAt = serializers.DateTimeField(
        source="settled_at", allow_null=True, default=None, help_text="When a person has replayed or discarded it."
    )
    replayPartition = serializers.IntegerField(source="replay_partition", allow_null=True, default=None)
    replayOffset = serializers.IntegerField(source="replay_offset", allow_null=True, default=None)


class FillSerializer(serializers.Serializer[Fill]):
    key = serializers.CharField()
    version = serializers.IntegerField()
    filledAt = serializers.DateTimeField(source="filled_at")
    answeredAt = serializers.DateTimeField(source="answered_at")
    process = serializers.CharField()
    correlationId = serializers.CharField(source="correlation_id", allow_blank=True)


class ConsumedSerializer(serializers.Serializer[Consumed]):
    groups = GroupSerializer(many=True)
    batches = HandledSerializer(many=True)
    standings = StandingSerializer(many=True)
    parked = ParkedSerializer(many=True)
    fills = FillSerializer(many=True)


class PartSerializer(serializers.Serializer[Part]):
    """What this service knows of the change with the correlation id of the path."""

    service = serializers.CharField()
    produced = ProducedSerializer(allow_null=True)
    consumed = ConsumedSerializer()


def part_from(data: Any) -> Part:
    """Raises rest_framework's ValidationError for what is no part."""
    parsed = PartSerializer(data=data)
    parsed.is_valid(raise_exception=True)
    values: dict[str, Any] = parsed.validated_data
    produced, consumed = values["produced"], values["consumed"]
    return Part(
        service=values["service"],
        produced=None
        if produced is None
        else Produced(
            **{
                **produced,
                "changes": _all(Change, produced["changes"]),
                "spans": _all(Span, produced["spans"]),
            }
        ),
        consumed=Consumed(
            groups=_all(Group, consumed["groups"]),
            batches=_all(Handled, consumed["batches"]),
            standings=_all(Standing, consumed["standings"]),
            parked=_all(Parked, consumed["parked"]),
            fills=_all(Fill, consumed["fills"]),
        ),
    )


def changes_from(data: Any) -> list[Change]:
    """Raises rest_framework's ValidationError for what is no list of changes."""
    parsed = ChangeSerializer(data=data, many=True)
    parsed.is_valid(raise_exception=True)
    return [Change(**values) for values in parsed.validated_data]


def _all(kind: type[Any], rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(kind(**row) for row in rows)
