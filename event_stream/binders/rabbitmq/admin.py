"""Describes a destination and a group, and reads a journal, over AMQP.

AMQP does not tell the number of nodes or of copies. The message count of a queue excludes unacknowledged messages.
"""

import asyncio
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pika
from pika import ConnectionParameters
from pika.exceptions import AMQPError, ChannelClosedByBroker, UnroutableError

from event_stream.binders.rabbitmq import topology
from event_stream.binders.rabbitmq.connection import Connection, connect
from event_stream.binders.rabbitmq.group import SAY_EVERY_S
from event_stream.binders.rabbitmq.records import as_record
from event_stream.conf import Binding
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import Description, Group, TopicDescription
from event_stream.messaging.message import ConsumerRecord

_ANSWER_WITHIN_S = 3.0
_LISTEN_S = 2 * SAY_EVERY_S
_GOODBYE_S = 0.5
_NOT_FOUND = 404

MARK = "end-of-reading"
_PREFETCH = 100
_STALLED_S = 10.0


def describe(brokers: Sequence[ConnectionParameters], partitions: int, binding: Binding) -> Description:
    """Describe the binding's destination. `partitions` is the number in the settings. Raises UnavailableError."""
    try:
        return asyncio.run(_description(brokers, partitions, binding))
    except TimeoutError as error:
        raise UnavailableError(f"RabbitMQ at {_where(brokers)} accepts the connection but does not answer") from error
    except (AMQPError, OSError) as error:
        raise UnavailableError(f"RabbitMQ at {_where(brokers)} does not answer: {error!r}") from error


async def _description(brokers: Sequence[ConnectionParameters], partitions: int, binding: Binding) -> Description:
    connection = await connect(brokers)
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S) as timeout:
            kind = "queue" if binding.journal else "exchange"
            if await _declared(connection, kind, binding.destination) is None:
                return Description(made_by_use=True)
            if binding.journal or binding.group is None:
                return Description(destination=TopicDescription(), made_by_use=True)
            names = [topology.queue_name(binding, number) for number in range(partitions)]
            queues = [queue for name in names if (queue := await _declared(connection, "queue", name)) is not None]
            members = 0
            if any(queue.consumer_count for queue in queues):
                timeout.reschedule(asyncio.get_running_loop().time() + _LISTEN_S + _ANSWER_WITHIN_S)
                members = await _members(connection, topology.members_name(binding))
        group = Group(members, sum(queue.message_count for queue in queues))
        # The first member of the first group declares the queues; there are none before.
        return Description(destination=TopicDescription(len(queues) or None), group=group, made_by_use=True)
    finally:
        await connection.close(_GOODBYE_S)


async def _declared(connection: Connection, kind: str, name: str) -> Any:
    """Return the broker's answer; None where the object does not exist, which closes the channel."""
    channel = await connection.channel()
    try:
        return await channel.ask(f"{kind}_declare", **{kind: name}, passive=True)
    except ChannelClosedByBroker as refused:
        if refused.reply_code == _NOT_FOUND:
            return None
        raise
    finally:
        await channel.close()


async def _members(connection: Connection, exchange: str) -> int:
    """Count the members that announce themselves, without joining; at least one, since a queue has a consumer."""
    heard: set[str] = set()

    def hear(_channel: object, _method: object, _properties: object, body: bytes) -> None:
        news = json.loads(body)
        (heard.discard if news["is"] == "gone" else heard.add)(news["member"])

    channel = await connection.channel()
    queue = (await channel.ask("queue_declare", queue="", exclusive=True, auto_delete=True)).queue
    await channel.ask("queue_bind", queue=queue, exchange=exchange)
    await channel.ask("basic_consume", queue=queue, on_message_callback=hear, auto_ack=True)
    with suppress(TimeoutError):
        raise await asyncio.wait_for(asyncio.shield(channel.closed), _LISTEN_S)
    return max(1, len(heard))


def _where(brokers: Sequence[ConnectionParameters]) -> str:
    return ", ".join(f"{broker.host}:{broker.port}" for broker in brokers)


def read_journal(brokers: Sequence[pika.ConnectionParameters], journal: str) -> Iterator[ConsumerRecord]:
    """Read a journal, up to its end at the time of the call.

    RabbitMQ does not tell where a stream ends: its count is seconds old, and a consumer at the end just waits. So the
    reader appends a mark, which is never returned as a record, and reads up to it. Raises UnavailableError where the
    journal does not exist or no broker answers.
    """
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


def _records(channel: Any, journal: str) -> Iterator[ConsumerRecord]:
    mark = str(uuid.uuid4())
    channel.confirm_delivery()
    channel.basic_publish("", journal, b"", pika.BasicProperties(type=MARK, message_id=mark), mandatory=True)
    channel.basic_qos(prefetch_count=_PREFETCH)
    from_first = {"x-stream-offset": "first"}
    least = 0
    for method, properties, body in channel.consume(journal, arguments=from_first, inactivity_timeout=_STALLED_S):
        if method is None:
            raise UnavailableError(f"RabbitMQ stopped answering for {journal}")
        # The acknowledgement only requests more: a stream keeps what was read.
        channel.basic_ack(method.delivery_tag)
        if properties.type != MARK:
            record = as_record(journal, 0, properties, body, least)
            least = record.offset + 1
            yield record
        elif properties.message_id == mark:
            return
