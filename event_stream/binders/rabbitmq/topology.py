"""The exchanges and queues on the broker, and their names.

<destination>                        a direct exchange; the routing key is the number of the partition
<destination>.partitions             an unused queue; its length is the number of partitions, and the broker refuses
                                     to declare it with another one
<destination>.<group>.<partition>    a quorum queue for each group and partition, with one active consumer
<destination>.<group>.<partition>.owner    an exclusive queue of the member that has the partition
<destination>.<group>.members        a fanout exchange for the announcements of a group's members
<destination>                        for a journal: a stream, reached through the default exchange

Producers and consumers declare what they need when they connect.
"""

import re
from collections.abc import Mapping
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from event_stream.binders.rabbitmq.connection import Channel
from event_stream.conf import Binding, dead_letter_binding
from event_stream.errors import ConfigurationError, UnavailableError

_PRECONDITION_FAILED = 406
_ANOTHER_NUMBER = re.compile(r"'x-max-length'.* but current is (?:the value )?'(\d+)'")
NO_LIMIT = 2**31 - 1


def queue_name(binding: Binding, partition: int) -> str:
    return f"{binding.destination}.{binding.group}.{partition}"


def owner_name(binding: Binding, partition: int) -> str:
    return f"{queue_name(binding, partition)}.owner"


def members_name(binding: Binding) -> str:
    return f"{binding.destination}.{binding.group}.members"


class PartitionsDifferError(ConfigurationError):
    """The destination was declared with another number of partitions, which is `actual`."""

    def __init__(self, text: str, actual: int) -> None:
        super().__init__(text)
        self.actual = actual


async def declare_destination(channel: Channel, binding: Binding, settings: Mapping[str, Any]) -> None:
    """Declare what a producer needs, from the binder's `settings`. Raises ConfigurationError if they have changed."""
    if binding.journal:
        # A stream deletes whole segments; with the default size, it would keep half a gigabyte for good.
        segment = {"x-stream-max-segment-size-bytes": 16_000_000}
        arguments = {"x-queue-type": "stream", "x-max-age": settings["journal_retention"], **segment}
        await _declare(channel, "queue", queue=binding.destination, durable=True, arguments=arguments)
    else:
        await _agree(channel, binding.destination, settings["partitions"])
        await _declare(channel, "exchange", exchange=binding.destination, exchange_type="direct", durable=True)


async def declare_group(channel: Channel, binding: Binding, properties: Mapping[str, Any]) -> None:
    """Declare what a consumer needs, from its `properties`. Raises ConfigurationError likewise."""
    await declare_destination(channel, binding, properties)
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    if properties["expires_ms"] is not None:
        arguments["x-expires"] = properties["expires_ms"]
    if binding.consumer.dead_letters:
        journal = dead_letter_binding(binding)
        await declare_destination(channel, journal, properties)
        arguments |= {
            "x-delivery-limit": properties["delivery_limit"],
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": journal.destination,
            # A message leaves the queue only once the journal has it; this requires `reject-publish`.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    else:
        # Without an explicit limit, RabbitMQ 4 applies its properties, and drops messages beyond it.
        arguments["x-delivery-limit"] = NO_LIMIT
    for partition in range(properties["partitions"]):
        queue = queue_name(binding, partition)
        await _declare(channel, "queue", queue=queue, durable=True, arguments=arguments)
        await channel.ask("queue_bind", queue=queue, exchange=binding.destination, routing_key=str(partition))
    await _declare(channel, "exchange", exchange=members_name(binding), exchange_type="fanout", durable=True)


async def _agree(channel: Channel, destination: str, partitions: int) -> None:
    """Check the number of partitions: a group with fewer queues than partitions would silently miss messages."""
    arguments = {"x-queue-type": "quorum", "x-max-length": partitions}
    try:
        await channel.ask("queue_declare", queue=f"{destination}.partitions", durable=True, arguments=arguments)
    except ChannelClosedByBroker as refused:
        other_number = _ANOTHER_NUMBER.search(refused.reply_text)
        if refused.reply_code != _PRECONDITION_FAILED or other_number is None:
            raise UnavailableError(f"RabbitMQ refuses to declare {destination!r}: {refused.reply_text}") from refused
        actual = int(other_number[1])
        text = f"'partitions' is {partitions}, but {destination!r} was declared with {actual}: let all have the same"
        raise PartitionsDifferError(text, actual) from refused


async def _declare(channel: Channel, kind: str, **arguments: Any) -> None:
    try:
        await channel.ask(f"{kind}_declare", **arguments)
    except ChannelClosedByBroker as refused:
        if refused.reply_code == _PRECONDITION_FAILED:
            name = arguments[kind]
            raise ConfigurationError(
                f"RabbitMQ has a {kind} {name!r} that was declared in another way: {refused.reply_text}. Let every "
                "process have the same settings, or delete it once it is empty"
            ) from refused
        raise UnavailableError(f"RabbitMQ refuses to declare {arguments[kind]!r}: {refused.reply_text}") from refused
