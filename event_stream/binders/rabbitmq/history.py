"""Reading a journal: a stream, which keeps what was read.

RabbitMQ does not say where a stream ends: its count is seconds old, and a consumer at the end just waits. So a reader
puts a mark there, which nobody sees as a record, and reads up to it: all that was confirmed before it asked.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pika
from pika.exceptions import AMQPError, UnroutableError

from event_stream.binders.rabbitmq.records import as_record
from event_stream.errors import UnavailableError
from event_stream.message import Record

MARK = "end-of-reading"
_PREFETCH = 100
_STALLED_S = 10.0


def history(brokers: Sequence[pika.ConnectionParameters], journal: str) -> Iterator[Record]:
    """Raises UnavailableError where the journal is not there, or no broker answers."""
    try:
        connection = pika.BlockingConnection(brokers)
        try:
            yield from _records(connection.channel(), journal)
        finally:
            if connection.is_open:
                connection.close()
    except UnroutableError as error:
        raise UnavailableError(f"RabbitMQ has no journal {journal}") from error
    except (AMQPError, OSError) as error:
        raise UnavailableError(f"RabbitMQ does not answer: {error!r}") from error


def _records(channel: Any, journal: str) -> Iterator[Record]:
    mark = str(uuid.uuid4())
    channel.confirm_delivery()
    channel.basic_publish("", journal, b"", pika.BasicProperties(type=MARK, message_id=mark), mandatory=True)
    channel.basic_qos(prefetch_count=_PREFETCH)
    from_first = {"x-stream-offset": "first"}
    least = 0
    for method, properties, body in channel.consume(journal, arguments=from_first, inactivity_timeout=_STALLED_S):
        if method is None:
            raise UnavailableError(f"RabbitMQ stopped answering for {journal}")
        # Which only lets more come: a stream forgets nothing for it.
        channel.basic_ack(method.delivery_tag)
        if properties.type != MARK:
            record = as_record(journal, 0, properties, body, least)
            least = record.offset + 1
            yield record
        elif properties.message_id == mark:
            return
