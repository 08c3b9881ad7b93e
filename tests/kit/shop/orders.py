"""What a user of the plugin writes. The tests named `test_fails_...` have to fail."""

from typing import Any

import pytest

from event_stream import Message, Sink
from event_stream.conf import configuration
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.failpoints import Crashed, FailPoint
from shop.models import Order, orders

pytestmark = pytest.mark.django_db


def run(handled: list[Any]) -> None:
    sink = Sink(configuration().binding("inboundOrders"), lambda message: handled.append(message.payload))
    Worker("inboundOrders", sink).run(stop=lambda: False, until=StopCondition.CAUGHT_UP)


def test_captured(captured_messages: Any) -> None:
    order = Order.objects.create()
    [message] = captured_messages("outboundOrders")
    assert (message.payload, message.key) == ({"order": order.pk, "action": "MADE"}, str(order.pk))


def test_isolated(captured_messages: Any) -> None:
    assert captured_messages("outboundOrders") == []


def test_worker(memory_binder: None) -> None:
    orders.send(Message({"order": 1}))
    handled: list[Any] = []
    run(handled)
    assert handled == [{"order": 1}]


def test_crash(memory_binder: None, armed_failpoint: Any) -> None:
    orders.send(Message({"order": 1}))
    handled: list[Any] = []
    with armed_failpoint(FailPoint.WORKER_HANDLED_NOT_COMMITTED), pytest.raises(Crashed):
        run(handled)
    run(handled)
    assert handled == [{"order": 1}] * 2


def test_emits(assert_emits: Any) -> None:
    with assert_emits("outboundOrders", of=Order) as emitted:
        Order.objects.create(paid=True)
        Order.objects.create()
    assert len(emitted) == 2
    with assert_emits("outboundOrders", payload={"action": "MADE"}):
        Order.objects.create()
        Order.objects.create(paid=True)
    with assert_emits("outboundOrders", count=0):
        Order.objects.count()


def test_fails_for_a_silent_write(assert_emits: Any) -> None:
    order = Order.objects.create()
    with assert_emits("outboundOrders", of=Order):
        Order.objects.filter(pk=order.pk).update(paid=True)


def test_fails_for_a_silent_deletion(assert_emits: Any) -> None:
    order = Order.objects.create()
    with assert_emits("outboundOrders", of=Order):
        order.delete()


def test_fails_for_a_message_without_a_write(assert_emits: Any) -> None:
    with assert_emits("outboundOrders", of=Order):
        orders.send(Message({"order": 77}, key="77"))


def test_fails_for_no_message(assert_emits: Any) -> None:
    with assert_emits("outboundOrders"):
        pass


def test_fails_for_another_payload(assert_emits: Any) -> None:
    with assert_emits("outboundOrders", payload={"action": "PAID"}):
        Order.objects.create()


def test_fails_with_the_errors_of_the_block(assert_emits: Any) -> None:
    with assert_emits("outboundOrders", of=Order):
        raise ZeroDivisionError("of the block")
