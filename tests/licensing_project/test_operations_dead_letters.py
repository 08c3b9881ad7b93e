"""Dead letters on the operations pages: groups, filters, edited replays, and any number of them at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from devstack.waiting import wait_until
from event_stream import Message, ProducerRecord, Sink
from event_stream.binders.memory import MemoryBinder
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import dead_letter_channel, error_handler_for, key_blocker
from event_stream.dead_letters.log import OpenLetter, dead_letter_log
from event_stream.dead_letters.record import own_frame
from event_stream.dead_letters.replay import ReplayResult, ReplayService
from event_stream.messaging.channel import registry
from event_stream.operations.dead_letters import Letter, LetterFilter, groups, open_letters, order, settle
from event_stream.operations.models import Settlement

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/event_stream_operations/operations/dead-letters/"
BINDING, TOPIC = "inboundOrgChanges", "orgChangeTopic"


class UnpayableError(Exception):
    """What a handler of this test raises."""


def charge(message: Message[Any]) -> None:
    """Raises where the body says so."""
    if message.payload.get("amount") is None:
        raise KeyError("amount")
    if message.payload["amount"] < 0:
        refuse(message)


def refuse(message: Message[Any]) -> None:
    raise UnpayableError(f"{message.payload['amount']} can't be paid")


@pytest.fixture
def platform(settings: Any) -> Iterator[MemoryBinder]:
    bindings = {name: {**each, "producer": {}} for name, each in settings.EVENT_STREAM["bindings"].items()}
    consumer = {"retry_attempts": 1, "dead_letters": True, "dead_letter_limit": 5_000}
    bindings[BINDING] = {**bindings[BINDING], "consumer": consumer}
    settings.EVENT_STREAM = {"binders": {"kafka": {"type": "memory", "partitions": 3}}, "bindings": bindings}
    binder = registry().binder("kafka")
    assert isinstance(binder, MemoryBinder)
    yield binder
    registry().close()


@pytest.fixture
def send(platform: MemoryBinder) -> Callable[..., None]:
    def send(key: str | None, *bodies: bytes) -> None:
        for body in bodies:
            platform.append(ProducerRecord(TOPIC, None if key is None else key.encode(), body, partition=1))

    return send


def consume(*, ordered: bool = False) -> list[Any]:
    """What was handled of what has come."""
    binding, handled = registry().channel(BINDING).binding, []

    def handle(message: Message[Any]) -> None:
        charge(message)
        handled.append(message.payload["amount"])

    handler = key_blocker(binding) if ordered else error_handler_for(binding)
    Worker(BINDING, Sink(binding, handle, error_handler=handler)).run(lambda: False, StopCondition.CAUGHT_UP)
    return handled


def letters() -> list[Letter]:
    return list(open_letters().letters)


def count() -> int:
    """Independently of the page's code."""
    channel = dead_letter_channel(registry().channel(BINDING).binding)
    return len(dead_letter_log(channel.read()).letters)


def person(*permissions: str) -> Client:
    user = User.objects.create_user(f"person{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


@pytest.fixture
def operator() -> Client:
    return person("view_operations", "settle_deadletter")


def test_letters_are_grouped_by_error_place_and_binding(send: Callable[..., None], operator: Client) -> None:
    send("a", b'{"amount": -1}', b'{"amount": -2}', b"{", b'{"amount": 5}', b"{}")
    send("b", b'{"amount": -3}')
    assert consume() == [5]
    found = groups(letters())
    assert [(group.error.rpartition(".")[2], group.frame.partition(":")[2], group.count) for group in found] == [
        ("UnpayableError", "refuse", 3),
        ("ConversionError", "", 1),
        ("KeyError", "charge", 1),
    ]
    of_refused = [letter for letter in letters() if letter.group == found[0].fingerprint]
    assert [found[0].first_at, found[0].last_at] == [of_refused[0].parked_at, of_refused[-1].parked_at]
    page = operator.get(PAGE).content.decode()
    assert "5 open." in page
    assert "test_operations_dead_letters.py:refuse" in page
    one = operator.get(PAGE, {"group": found[0].fingerprint}).content.decode()
    assert "Replay all 3…" in one
    assert "KeyError" not in one.partition("Letters")[2]


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("", ""),
        ('  File "/app/pay/charge.py", line 3, in charge\n', "pay/charge.py:charge"),
        ('  File "/app/a.py", line 1, in f\n  File "/x/site-packages/b/c.py", line 2, in g\n', "app/a.py:f"),
        ('  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n', ""),
        ('  File "/srv/event_stream/consumer/sink.py", line 9, in _receive\n', ""),
        ('cut off in the mid\n  File "/app/a.py", line 1, in <module>\nE: no "File" of\n', "app/a.py:<module>"),
    ],
)
def test_the_own_frame_of_a_traceback_is_the_last_that_is_no_librarys(text: str, frame: str) -> None:
    assert own_frame(text) == frame


def test_1200_are_discarded_by_a_filter_and_the_others_stay(
    platform: MemoryBinder, send: Callable[..., None], operator: Client
) -> None:
    """More than Django takes form fields of."""
    send(None, *(b'{"amount": -%d}' % number for number in range(1, 1_201)))
    send("keep", b"{", b"{}")
    consume()
    assert count() == 1_202
    confirm = operator.get(PAGE, {"q": "unpayableerror", "confirm": "discard"})
    text = confirm.content.decode()
    assert "Discard 1,200 dead letters?" in text
    assert "1,202 are open now." in text
    form = {
        "action": "discard",
        "q": "unpayableerror",
        "count": "1200",
        "through_ms": str(confirm.context["through_ms"]),
    }
    done = operator.post(PAGE, form, follow=True)
    settlement = Settlement.objects.get()
    assert done.redirect_chain[0][0] == f"{PAGE}?progress={settlement.pk}"
    assert wait_until(lambda: Settlement.objects.get().finished_at is not None, within_s=60)
    settlement.refresh_from_db()
    assert (settlement.done, settlement.total, settlement.left) == (1_200, 1_200, 0)
    assert count() == 2
    assert "1,200 of 1,200 done" in operator.get(PAGE, {"progress": str(settlement.pk)}).content.decode()
    assert wait_until(LogEntry.objects.exists, within_s=20)
    assert LogEntry.objects.get().change_message == "Discarded: 1,200."


def test_who_waits_for_a_settlement_does_not_disturb_its_count(
    send: Callable[..., None], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("a", *[b"{"] * 5)
    consume()
    halfway, over = threading.Event(), threading.Event()
    discard = ReplayService.discard

    def slowly(service: ReplayService, letters: Sequence[OpenLetter]) -> Iterator[ReplayResult]:
        for number, result in enumerate(discard(service, letters)):
            if number == 3:
                # The progress in the table is that of the first.
                halfway.set()
                assert over.wait(20)
            yield result

    monkeypatch.setattr(ReplayService, "discard", slowly)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", lambda _thread, _timeout=None: halfway.wait(20))
        settlement = settle("discard", LetterFilter(), 5, user_id=User.objects.get().pk, wait_s=1)
    assert settlement.finished_at is None
    over.set()
    # The last that it does.
    assert wait_until(LogEntry.objects.exists, within_s=20)
    assert Settlement.objects.get().done == 5


def test_a_group_is_replayed_in_order_and_what_fails_again_is_listed_again(
    send: Callable[..., None], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("a", b'{"amount": -1}', b'{"amount": -2}', b'{"amount": -3}', b"{")
    consume()
    [refused, _] = groups(letters())
    monkeypatch.setattr(f"{__name__}.refuse", lambda message: None)
    form = {"action": "replay", "group": refused.fingerprint, "count": "3"}
    text = operator.post(PAGE, form, follow=True).content.decode()
    assert "3 of 3 were replayed: 4 were open, 1 are now." in text
    assert consume() == [-1, -2, -3]
    assert count() == 1


def test_a_body_is_edited_and_replayed(send: Callable[..., None], operator: Client) -> None:
    send("a", b'{"amount": -1, "name": "<b>\xed\x95\x9c"}')
    consume()
    [letter] = letters()
    page = operator.get(PAGE, {"id": letter.id}).content.decode()
    assert "&lt;b&gt;한" in page
    assert "Traceback" in page
    form = {"action": "edit", "id": letter.id, "count": "1", "body": '{"amount": 1,\r\n"name": "한"}'}
    operator.post(PAGE, form)
    assert consume() == [1]
    assert count() == 0
    assert LogEntry.objects.get().change_message == "Replayed with an edited body: 1."
    replayed = registry().binder("kafka").sent(TOPIC)[-1]  # type: ignore[attr-defined]
    assert (replayed.key, replayed.value) == (b"a", '{"amount": 1,\n"name": "한"}'.encode())


def test_what_can_not_be_edited_offers_no_form(send: Callable[..., None], operator: Client) -> None:
    send("a", b"\xff\xfe")
    consume()
    [letter] = letters()
    page = operator.get(PAGE, {"id": letter.id}).content.decode()
    assert "Replay with this body" not in page
    assert "Replay it…" in page
    for form in ({"action": "edit", "body": "{}", "count": "1"}, {"action": "edit", "id": letter.id, "body": ""}):
        operator.post(PAGE, form)
    assert count() == 1


def test_the_order_of_keys_is_said_before_and_kept(send: Callable[..., None], operator: Client) -> None:
    send("a", b'{"amount": -1}', b'{"amount": 2}', b'{"amount": 3}')
    send("b", b'{"amount": 4}')
    assert consume(ordered=True) == [4]
    every = letters()
    [first, *behind] = every
    assert (order([first], every).held, order([first], every).behind) == (0, 2)
    assert (order(behind, every).held, order(behind, every).behind) == (2, 0)
    assert (order(every, every).held, order(every, every).behind) == (0, 0)
    page = operator.get(PAGE, {"q": "HeldError", "confirm": "replay"}).content.decode()
    assert "2 of them will stay: an earlier one of their key is not among these." in page
    operator.post(PAGE, {"action": "replay", "q": "HeldError", "count": "2"})
    assert (Settlement.objects.get().done, Settlement.objects.get().left) == (0, 2)
    assert count() == 3
    page = operator.get(PAGE, {"id": first.id, "confirm": "discard"}).content.decode()
    assert "2 others came later with the same keys, and stay parked." in page


def test_more_letters_than_were_shown_are_left_alone(send: Callable[..., None], operator: Client) -> None:
    send("a", b"{", b"{")
    consume()
    page = operator.get(PAGE, {"confirm": "discard"})
    through_ms = page.context["through_ms"]
    send("a", b"{")
    assert wait_until(lambda: not consume() and letters()[-1].open_letter.letter.parked_at_ms > through_ms, within_s=9)
    refused = operator.post(PAGE, {"action": "discard", "count": "2"}, follow=True).content.decode()
    assert "Nothing was done: there are more of them by now." in refused
    operator.post(PAGE, {"action": "discard", "count": "2", "through_ms": str(through_ms)})
    assert count() == 1


def test_readers_see_and_settle_nothing(send: Callable[..., None]) -> None:
    send("a", b"{")
    consume()
    reader = person("view_operations", "operate")
    page = reader.get(PAGE).content.decode()
    assert "1 open." in page
    assert "Discard it" not in page
    assert reader.post(PAGE, {"action": "discard", "count": "1"}).status_code == 403
    assert count() == 1


def test_a_platform_that_goes_away_leaves_the_rest(
    send: Callable[..., None], platform: MemoryBinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("a", b"{", b"{", b"{")
    consume()
    user = User.objects.create_user("somebody")
    publish, published = MemoryBinder.append, []

    def break_off(self: MemoryBinder, record: ProducerRecord) -> Any:
        published.append(record)
        if len(published) > 1:
            raise ConnectionError("gone")
        return publish(self, record)

    monkeypatch.setattr(MemoryBinder, "append", break_off)
    settlement = settle("discard", LetterFilter(), 3, user_id=user.pk, wait_s=20)
    assert settlement.finished_at is not None
    assert settlement.done == 1
    assert "the rest is left" in settlement.problem
    monkeypatch.undo()
    assert count() == 2


def test_words_and_ids_that_match_nothing(send: Callable[..., None], operator: Client) -> None:
    send("a", b"{")
    consume()
    for query in ({"q": "' OR 1=1"}, {"id": "nothing"}, {"group": "x"}, {"binding": "y"}, {"progress": "999"}):
        assert operator.get(PAGE, query).status_code == 200
        assert operator.get(PAGE, {**query, "confirm": "discard"}).status_code == 200
    answer = operator.post(PAGE, {"action": "discard", "q": "nothing", "count": "9"}, follow=True).content.decode()
    assert "No open dead letter matches any longer." in answer
    assert "There is no such action." in operator.post(PAGE, {"action": "explode"}, follow=True).content.decode()
    assert count() == 1
