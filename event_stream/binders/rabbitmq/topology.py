"""What lies on the broker, and what it is called.

<destination>                        a direct exchange; the routing key is the number of the partition
<destination>.partitions             a queue that is never used: its length is the number of partitions, and whoever
                                     declares it with another one is refused
<destination>.<group>.<partition>    a quorum queue for each group and partition, of which one consumer is active
<destination>.<group>.<partition>.owner    an exclusive queue: held by the member that has the partition
<destination>.<group>.members        a fanout exchange over which the members of a group tell each other that they live
<destination>                        of a journal: a stream, to which the default exchange leads

Both sides declare what they need when they connect; whoever comes first makes it.
"""

import re
from collections.abc import Mapping
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from event_stream.binders.rabbitmq.connection import Channel
from event_stream.conf import Binding
from event_stream.dead_letters import dead_letter_binding
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
    """What a producer needs; `settings` are the binder's. Raises ConfigurationError where they are not as before."""
    if binding.journal:
        # A stream forgets by the segment: small ones, or it would keep half a gigabyte for good.
        segment = {"x-stream-max-segment-size-bytes": 16_000_000}
        arguments = {"x-queue-type": "stream", "x-max-age": settings["journal_retention"], **segment}
        await _declare(channel, "queue", queue=binding.destination, durable=True, arguments=arguments)
    else:
        await _agree(channel, binding.destination, settings["partitions"])
        await _declare(channel, "exchange", exchange=binding.destination, exchange_type="direct", durable=True)


async def declare_group(channel: Channel, binding: Binding, own: Mapping[str, Any]) -> None:
    """What a consumer needs: `own` are its properties. Raises ConfigurationError likewise."""
    await declare_destination(channel, binding, own)
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    if own["expires_ms"] is not None:
        arguments["x-expires"] = own["expires_ms"]
    if binding.consumer.dead_letters:
        journal = dead_letter_binding(binding)
        await declare_destination(channel, journal, own)
        arguments |= {
            "x-delivery-limit": own["delivery_limit"],
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": journal.destination,
            # Out of the queue only once the journal has it; that asks for the overflow.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    else:
        # Without a limit, a newer broker has one of its own, and drops what passes it.
        arguments["x-delivery-limit"] = NO_LIMIT
    for partition in range(own["partitions"]):
        queue = queue_name(binding, partition)
        await _declare(channel, "queue", queue=queue, durable=True, arguments=arguments)
        await channel.ask("queue_bind", queue=queue, exchange=binding.destination, routing_key=str(partition))
    await _declare(channel, "exchange", exchange=members_name(binding), exchange_type="fanout", durable=True)


async def _agree(channel: Channel, destination: str, partitions: int) -> None:
    """A group with fewer queues than a producer has partitions would miss messages, and nobody would be told."""
    arguments = {"x-queue-type": "quorum", "x-max-length": partitions}
    try:
        await channel.ask("queue_declare", queue=f"{destination}.partitions", durable=True, arguments=arguments)
    except ChannelClosedByBroker as refused:
        found = _ANOTHER_NUMBER.search(refused.reply_text)
        if refused.reply_code != _PRECONDITION_FAILED or found is None:
            raise UnavailableError(f"RabbitMQ refuses to declare {destination!r}: {refused.reply_text}") from refused
        text = f"'partitions' is {partitions}, but {destination!r} was declared with {found[1]}: let all have the same"
        raise PartitionsDifferError(text, int(found[1])) from refused


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
