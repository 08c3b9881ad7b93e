"""Destinations of their own for the tests on a real Redis, and a worker of its own on one."""

import json
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from event_stream.binders.redis.binder import RedisBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.messaging.binder import Binder
from event_stream.messaging.message import ProducerRecord, RecordMetadata

ROOT = Path(__file__).parents[2]


def making(url: str, partitions: int, **properties: object) -> RedisBinder:
    """A binder that makes the destinations that it is asked for."""
    return RedisBinder("redis", {"url": url, "partitions": partitions, **properties})


def new_binding(consumer: ConsumerSettings | None = None) -> Binding:
    """To a destination that nobody has used, for a group of its own."""
    name = f"test-{uuid.uuid4()}"
    return Binding("test", name, "redis", group=f"group-of-{name}", consumer=consumer or ConsumerSettings())


def send(binder: Binder, binding: Binding, *values: str, partition: int | None = None) -> list[RecordMetadata]:
    """Each with itself as its key; returns once all are acknowledged."""
    producer = binder.producer(binding)
    try:
        records = [ProducerRecord(binding.destination, v.encode(), v.encode(), partition=partition) for v in values]
        return [sent.result(20) for sent in [producer.send(record) for record in records]]
    finally:
        producer.close(5)


class WorkerProcess:
    """worker_process.py on this binder, and the lines it has written."""

    def __init__(self, binding: Binding, binder: Mapping[str, Any]) -> None:
        argv = [sys.executable, "-m", "tests.event_stream.worker_process", binding.destination, json.dumps(binder)]
        self._popen = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, line: str) -> None:
        """Raises queue.Empty where it has not come in time."""
        while line not in self.seen:
            self.seen.append(self._lines.get(timeout=60))

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self) -> int:
        return self._popen.wait(30)

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.put(line.strip())
