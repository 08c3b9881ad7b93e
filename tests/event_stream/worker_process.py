"""A process with one worker, as a service's command would run it.

    python -m tests.event_stream.worker_process TOPIC [BINDER]

BINDER is an entry of EVENT_STREAM["binders"] as JSON; the tests' Kafka if it is left out. Writes a line for each thing
it does: "ready", "handled VALUE". The value "fail" raises, "hang" is handled for ever.
"""

import json
import logging
import signal
import sys
import threading
from types import FrameType
from typing import Any

import django

from event_stream.conf import BinderSettings, Binding, ConsumerSettings
from event_stream.consumer.handler import Batch, Handled
from event_stream.consumer.worker import Worker
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.channel import Channel, make_binder


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Printer:
    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int | None:
        return None

    def handle(self, batch: Batch) -> Handled:
        for record in batch.records:
            value = (record.value or b"").decode()
            if value == "fail":
                raise ZeroDivisionError("told to fail")
            say(f"handled {value}")
            if value == "hang":
                threading.Event().wait()
        return Handled()

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        return None

    def stop(self, partition: int) -> None: ...


class Ready(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "worker.ready":
            say("ready")


def main(topic: str, entry: str | None = None) -> None:
    django.setup()
    logger = logging.getLogger("event_stream.consumer.worker")
    logger.setLevel(logging.INFO)
    logger.addHandler(Ready())
    stop = threading.Event()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    from django.conf import settings  # noqa: PLC0415 - after setup

    properties: dict[str, Any] = {"type": "kafka", "bootstrap_servers": settings.KAFKA_BOOTSTRAP_SERVERS}
    if entry is not None:
        properties = json.loads(entry)
    binder = make_binder(BinderSettings("in", properties.pop("type"), properties))
    # No shorter one for Kafka, whose broker allows none; RabbitMQ knows a dead member by its connection.
    binder_type = "kafka" if entry is None else json.loads(entry)["type"]
    own = {"kafka": {"session_timeout_ms": 6000}, "redis": {"session_timeout_ms": 3000}}.get(binder_type, {})
    consumer = ConsumerSettings(batch_size=1, properties=own)
    binding = Binding("in", topic, "in", group=f"group-of-{topic}", consumer=consumer)
    Worker("in", Printer(), channel=Channel(binding, binder)).run(stop.is_set)


if __name__ == "__main__":
    main(*sys.argv[1:])
