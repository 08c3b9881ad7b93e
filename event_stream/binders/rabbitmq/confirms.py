"""What was published on a channel and is not confirmed yet."""

import re
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic

from event_stream.binders.rabbitmq.channel import Channel
from event_stream.binders.rabbitmq.records import properties
from event_stream.errors import PublishError, UnsendableError
from event_stream.message import OutboundRecord, Receipt

_TOO_LARGE = re.compile(r"message size (\d+) ")


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A message on its way. `address` is exchange and routing key; `sent_at_s` is of the monotonic clock."""

    record: OutboundRecord
    receipt: Receipt
    address: tuple[str, str]
    result: "Future[Receipt]"
    sent_at_s: float


class Confirms:
    """On the link's thread. Each dispatch ends with its receipt once RabbitMQ has it, else with an error."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._under_way: dict[int, Dispatch] = {}
        self._returned: dict[str, str] = {}
        self._sent = 0
        self._over: str | None = None

    async def start(self) -> None:
        self._channel.raw.add_on_return_callback(self._came_back)
        await self._channel.ask("confirm_delivery", ack_nack_callback=self._answered)

    def publish(self, dispatch: Dispatch) -> None:
        if self._over is not None or not self._channel.raw.is_open:
            dispatch.result.set_exception(publish_error(dispatch.record, self._over or "the channel is closed"))
            return
        exchange, routing_key = dispatch.address
        self._sent += 1
        self._under_way[self._sent] = dispatch
        self._channel.raw.basic_publish(
            exchange,
            routing_key,
            dispatch.record.value or b"",
            properties(dispatch.record, dispatch.receipt.offset),
            # Without it, a message that no group has a queue for would be confirmed and gone.
            mandatory=True,
        )

    def oldest_s(self) -> float:
        """How long the first of those under way has been so."""
        first = next(iter(self._under_way.values()), None)
        return 0.0 if first is None else time.monotonic() - first.sent_at_s

    def fail(self, reason: BaseException) -> None:
        """The channel is no more; what is under way may have arrived or not."""
        self._over = str(reason) or repr(reason)
        too_large = _TOO_LARGE.search(str(reason)) if isinstance(reason, ChannelClosedByBroker) else None
        for dispatch in self._under_way.values():
            guilty = too_large is not None and len(dispatch.record.value or b"") == int(too_large[1])
            dispatch.result.set_exception(publish_error(dispatch.record, self._over, for_good=guilty))
        self._under_way.clear()

    def _came_back(self, _channel: object, method: Basic.Return, given: BasicProperties, _body: bytes) -> None:
        # It is confirmed, too, and later.
        self._returned[given.message_id or ""] = method.reply_text

    def _answered(self, frame: Any) -> None:
        answer = frame.method
        first = next(iter(self._under_way), answer.delivery_tag) if answer.multiple else answer.delivery_tag
        for tag in range(first, answer.delivery_tag + 1):
            dispatch = self._under_way.pop(tag, None)
            if dispatch is not None:
                self._settle(dispatch, accepted=isinstance(answer, Basic.Ack))

    def _settle(self, dispatch: Dispatch, *, accepted: bool) -> None:
        returned = self._returned.pop(str(dispatch.receipt.offset), None)
        if returned is not None:
            error = f"no group has a queue for {dispatch.address[1]!r} yet ({returned})"
            dispatch.result.set_exception(publish_error(dispatch.record, error))
        elif not accepted:
            dispatch.result.set_exception(publish_error(dispatch.record, "RabbitMQ could not keep it"))
        else:
            dispatch.result.set_result(dispatch.receipt)


def publish_error(record: OutboundRecord, reason: str, *, for_good: bool = False) -> PublishError:
    kind = UnsendableError if for_good else PublishError
    return kind(f"{record.destination} did not take a message of {len(record.value or b'')} bytes: {reason}")
