"""Where a member stands in its partitions: what it commits, seeks and pauses. A part of BinderConformance."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from event_stream.testing.conformance import Bench


class PositionConformance:
    """Commits, going back, bounds, pauses."""

    def test_brings_again_what_was_not_committed(self, bench: "Bench") -> None:
        first = bench.reader()
        bench.send_all([b"0", b"1", b"2"], key="k")
        at = first.read(3)[0]
        first.consumer.commit({at.partition: at.offset + 1})
        first.close()
        assert [record.value for record in bench.reader().read(2)] == [b"1", b"2"]

    def test_commits_exactly_what_it_is_told(self, bench: "Bench") -> None:
        bench.send_all([b"0", b"1", b"2", b"3", b"4"], key="k")
        reader = bench.reader()
        partition, next_offset = reader.read(5)[0].partition, reader.records[2].offset + 1
        reader.consumer.commit({partition: next_offset})
        reader.close()
        again = bench.reader()
        assert [record.value for record in again.read(2)] == [b"3", b"4"]
        if bench.capabilities.retained:
            partitions = bench.producer.partition_count(bench.binding.destination)
            again.read_until(lambda it: len(it.owned) == partitions, "assigned")
            assert again.consumer.committed(partition) == next_offset
            others = again.owned - {partition}
            assert {again.consumer.committed(other) for other in others} == {None}

    def test_seeks_back_and_forth_in_what_is_not_committed(self, bench: "Bench") -> None:
        bench.send_all([b"0", b"1", b"2", b"3"], key="k")
        reader = bench.reader()
        at = reader.read(4)[0]
        second, last = reader.records[1].offset, reader.records[3].offset
        assert reader.consumer.position(at.partition) == last + 1
        reader.consumer.seek(at.partition, second)
        assert [record.value for record in reader.read(7)[4:]] == [b"1", b"2", b"3"]
        reader.consumer.seek(at.partition, at.offset)
        reader.consumer.seek(at.partition, last)
        assert [record.value for record in reader.read(8)[7:]] == [b"3"]

    def test_seeks_back_to_what_was_committed(self, bench: "Bench") -> None:
        if not bench.capabilities.seekable:
            pytest.skip("this binder can't seek")
        bench.send_all([b"0", b"1"], key="k")
        reader = bench.reader()
        first = reader.read(2)[0]
        reader.commit()
        reader.consumer.seek(first.partition, first.offset)
        assert [record.value for record in reader.read(4)[2:]] == [b"0", b"1"]

    def test_knows_the_bounds_of_the_log(self, bench: "Bench") -> None:
        if not bench.capabilities.retained:
            pytest.skip("this binder keeps no log")
        at = bench.send(b"v", key="k")
        reader = bench.reader()
        reader.read(1)
        bounds = reader.consumer.bounds(reader.owned)
        assert all(it.start == it.end for partition, it in bounds.items() if partition != at.partition)
        assert bounds[at.partition].start <= at.offset
        assert bounds[at.partition].end == at.offset + 1

    def test_leaves_a_paused_partition_alone(self, bench: "Bench") -> None:
        reader = bench.reader()
        partitions = bench.producer.partition_count(bench.binding.destination)
        reader.read_until(lambda it: len(it.owned) == partitions, "assigned")
        paused = bench.send(b"paused", key="k").partition
        reader.consumer.pause([paused])
        reader.consumer.seek(paused, 0)
        read_before = len([record for record in reader.records if record.partition == paused])
        others = [partition for partition in range(partitions) if partition != paused]
        for partition in others:
            bench.send(b"going on", partition=partition)
        reader.read_until(lambda it: {record.partition for record in it.records} >= set(others), "the others go on")
        assert len([record for record in reader.records if record.partition == paused]) == read_before
        reader.consumer.resume([paused])
        reader.read_until(lambda it: it.records[-1].partition == paused, "resumed")
