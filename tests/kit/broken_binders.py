"""Binders with one fault each, and one without; collected by test_conformance.py in a pytest of its own."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding
from event_stream.messaging.binder import Binder, Consumer, Producer, RebalanceListener
from event_stream.messaging.message import ConsumerRecord, ProducerRecord, RecordMetadata
from event_stream.testing.conformance import PARTITIONS, BinderConformance, Harness

PATIENCE_S = 0.5


class Wrapped:
    """A consumer around a healthy one."""

    def __init__(self, consumer: Consumer) -> None:
        self.inner = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Healthy(MemoryBinder):
    """A binder of somebody else's: none of this package's is asked for by its name."""

    wrapper: type[Wrapped] = Wrapped

    def __init__(self) -> None:
        super().__init__("somebody's", {"partitions": PARTITIONS})

    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer:
        return self.wrapper(super().consumer(binding, listener))


class WithoutHeaders(Healthy):
    def append(self, record: ProducerRecord) -> RecordMetadata:
        return super().append(replace(record, headers=()))


class NothingForEmpty(Healthy):
    def append(self, record: ProducerRecord) -> RecordMetadata:
        return super().append(replace(record, value=record.value or None))


class Latin(Healthy):
    def append(self, record: ProducerRecord) -> RecordMetadata:
        value = (record.value or b"").decode(errors="replace").encode("latin-1", errors="replace")
        return super().append(replace(record, value=value))


class KeysAnywhere(Healthy):
    def append(self, record: ProducerRecord) -> RecordMetadata:
        return super().append(replace(record, partition=record.partition or len(record.value or b"") % PARTITIONS))


class OneGroupForAll(Healthy):
    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer:
        return super().consumer(replace(binding, group="all"), listener)


class CommitsOnPoll(Healthy):
    class wrapper(Wrapped):  # noqa: N801 - as in Healthy
        def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
            polled = self.inner.poll(timeout_s, max_records)
            self.inner.commit({partition: records[-1].offset + 1 for partition, records in polled.items()})
            return polled

        def commit(self, next_offsets: Mapping[int, int]) -> None:
            pass


class CommitsOneTooMuch(Healthy):
    class wrapper(Wrapped):  # noqa: N801
        def commit(self, next_offsets: Mapping[int, int]) -> None:
            self.inner.commit({partition: offset + 1 for partition, offset in next_offsets.items()})


class PollsAll(Healthy):
    class wrapper(Wrapped):  # noqa: N801
        def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
            return self.inner.poll(timeout_s, 10_000)


class NeverPauses(Healthy):
    class wrapper(Wrapped):  # noqa: N801
        def pause(self, partitions: Collection[int]) -> None:
            pass


class NeverLeaves(Healthy):
    class wrapper(Wrapped):  # noqa: N801
        def close(self) -> None:
            pass


class NeverGoesBack(Healthy):
    class wrapper(Wrapped):  # noqa: N801
        def seek(self, partition: int, offset: int) -> None:
            self.inner.seek(partition, max(offset, self.inner.position(partition)))


class TakesAnySetting(Healthy):
    def check(self, binding: Binding) -> None:
        pass


class _Forgetful:
    """Sends when asked for the result, and forgets the rest."""

    def __init__(self, binder: MemoryBinder, hangs: bool) -> None:
        self._binder = binder
        self._hangs = hangs

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        binder = self._binder

        class Late(Future[RecordMetadata]):
            def result(self, timeout: float | None = None) -> RecordMetadata:
                if not self.done():
                    self.set_result(binder.append(record))
                return super().result(timeout)

        return Future() if self._hangs else Late()

    def partition_count(self, destination: str) -> int:
        return PARTITIONS

    def close(self, timeout_s: float) -> None:
        pass


class ForgetsOnClose(Healthy):
    hangs = False

    def producer(self, binding: Binding) -> Producer:
        return _Forgetful(self, self.hangs)


class HangsWhereNobodyAnswers(ForgetsOnClose):
    hangs = True


class Conformance(BinderConformance):
    binder: type[Healthy]
    away: type[Healthy] | None = None

    @pytest.fixture
    def harness(self) -> Harness:
        def new_binding() -> Binding:
            return Binding("test", f"d-{uuid.uuid4()}", "somebody's", group="readers")

        binder: Binder = self.binder()
        return Harness(binder, new_binding, away=self.away, patience_s=PATIENCE_S)


FOUND_BY = {
    WithoutHeaders: "test_delivers_key_value_and_headers_as_they_were",
    NothingForEmpty: "test_takes_bodies_from_empty_to_a_megabyte",
    Latin: "test_a_message_is_the_same_at_the_other_end",
    KeysAnywhere: "test_keeps_the_messages_of_a_key_in_order",
    OneGroupForAll: "test_gives_each_group_one_copy",
    CommitsOnPoll: "test_brings_again_what_was_not_committed",
    CommitsOneTooMuch: "test_commits_exactly_what_it_is_told",
    PollsAll: "test_returns_no_more_than_asked_for",
    NeverPauses: "test_leaves_a_paused_partition_alone",
    NeverLeaves: "test_takes_over_from_a_member_that_has_closed",
    NeverGoesBack: "test_seeks_back_and_forth_in_what_is_not_committed",
    TakesAnySetting: "test_refuses_settings_that_it_does_not_know",
    ForgetsOnClose: "test_sends_what_is_under_way_before_it_closes",
    HangsWhereNobodyAnswers: "test_fails_in_time_where_no_platform_answers",
}
"""Each fault, and the test that has to find it."""


class TestHealthy(Conformance):
    binder = Healthy


for _fault in FOUND_BY:
    _healthy = {"binder": Healthy, "away": _fault} if _fault is HangsWhereNobodyAnswers else {"binder": _fault}
    globals()[f"Test{_fault.__name__}"] = type(f"Test{_fault.__name__}", (Conformance,), dict(_healthy))
