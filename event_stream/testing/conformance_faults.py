"""What every binder must do when a member dies, when the platform goes and comes back, and when it was never there.

A part of BinderConformance. A test that needs more than a binder is skipped where the harness does not offer it.
"""

from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from event_stream.conf import ConsumerSettings, ProducerSettings
from event_stream.errors import ConfigurationError, PublishError, UnavailableError
from event_stream.messaging.message import ProducerRecord, RecordMetadata
from event_stream.testing.dying_member import read_and_die
from event_stream.testing.reader import Reader

if TYPE_CHECKING:
    from event_stream.testing.conformance import Bench, Harness


class FaultConformance:
    """Crashes, outages, ends, and wrong settings."""

    def test_brings_again_what_a_member_had_that_died(self, bench: "Bench", harness: "Harness") -> None:
        if harness.remake is None:
            pytest.skip("this platform ends with its process, so no member can die alone")
        bench.send_all([b"0", b"1", b"2"], key="k")
        read_and_die(harness.remake, bench.binding, 3, timeout_s=2 * harness.patience_s)
        assert [record.value for record in bench.reader().read(3)] == [b"0", b"1", b"2"]

    def test_sends_what_is_under_way_before_it_closes(self, bench: "Bench", harness: "Harness") -> None:
        producer = bench.binder.producer(bench.binding)
        records = [ProducerRecord(bench.binding.destination, b"k", str(number).encode()) for number in range(100)]
        sent = [producer.send(record) for record in records]
        producer.close(harness.patience_s)
        assert all(each.done() for each in sent)
        assert [each.exception() for each in sent] == [None] * 100
        assert [int(record.value or b"") for record in bench.reader().read(100)] == list(range(100))

    def test_fails_in_time_where_no_platform_answers(self, bench: "Bench", harness: "Harness") -> None:
        if harness.away is None:
            pytest.skip("this platform can't be away")
        binder = harness.away()
        producer = binder.producer(bench.binding)
        try:
            sent = producer.send(ProducerRecord(bench.binding.destination, b"k", b"v"))
            assert isinstance(sent.exception(harness.patience_s), PublishError)
            with pytest.raises(UnavailableError):
                producer.partition_count(bench.binding.destination)
            with pytest.raises(UnavailableError):
                list(binder.read(bench.binding))
        finally:
            producer.close(1.0)

    def test_a_consumer_waits_in_vain_where_no_platform_answers(self, bench: "Bench", harness: "Harness") -> None:
        if harness.away is None:
            pytest.skip("this platform can't be away")
        reader = Reader(harness.away(), bench.binding)
        assert [list(reader.turn()) for _ in range(3)] == [[], [], []]
        assert not reader.joined
        reader.close()

    def test_refuses_settings_that_it_does_not_know(self, bench: "Bench", harness: "Harness") -> None:
        wrong = {"nothing has such a property": 1}
        consumer, producer = ConsumerSettings(properties=wrong), ProducerSettings(properties=wrong)
        for binding in (replace(bench.binding, consumer=consumer), replace(bench.binding, producer=producer)):
            with pytest.raises(ConfigurationError, match=r"^\['(consumer|producer)'\]\['properties'\]\['nothing has"):
                bench.binder.check(binding)
        bench.binder.check(bench.binding)


class OutageConformance:
    """Of its own, for a harness that has to have a platform of its own to cut off."""

    def test_goes_on_once_a_platform_that_was_cut_off_is_back(self, bench: "Bench", harness: "Harness") -> None:
        if harness.cut is None:
            pytest.skip("this harness can't cut the platform off")
        reader = bench.reader()
        bench.send(b"before", key="k")
        reader.read(1)
        reader.commit()
        with harness.cut():
            assert isinstance(self._failure(bench, b"during", harness), PublishError)
            reader.turn()
        # Whether what failed is there is not known, by the meaning of PublishError; what was acknowledged is. What was
        # committed right before the cut may come again: at least once.
        reader.read_until(lambda _: self._failure(bench, b"after", harness) is None, "sends again")
        reader.read_until(lambda it: it.records[-1].value == b"after", "reads again")
        seen = dict.fromkeys(record.value for record in reader.records if record.value != b"during")
        assert list(seen) == [b"before", b"after"]

    @staticmethod
    def _failure(bench: "Bench", value: bytes, harness: "Harness") -> BaseException | None:
        """What became of sending this."""
        sent: Future[RecordMetadata] = bench.producer.send(ProducerRecord(bench.binding.destination, b"k", value))
        return sent.exception(harness.patience_s)
