"""Dead letters in the admin: search, display, replay, discard, and the permissions for each."""

import dataclasses
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils.html import escape

from devstack.ports import free_port
from devstack.waiting import wait_until
from event_stream import ProducerRecord, Sink
from event_stream.binders.memory import MemoryBinder
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import error_handler_for
from event_stream.messaging.channel import registry
from event_stream.messaging.message import ConsumerRecord
from tests.confirmation_pages import Form, confirm, said, select_all
from tests.event_stream.leaks import failed_connections, lets_sockets_leak

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/event_stream_dead_letters/deadletter/"
BINDING, TOPIC = "inboundOrgChanges", "orgChangeTopic"


@pytest.fixture
def refused(settings: Any) -> Iterator[set[Any]]:
    """Three dead letters on the binder in memory; what is in the set fails again."""
    # Kafka's own properties are none of this one's.
    bindings = {name: {**each, "producer": {}} for name, each in settings.EVENT_STREAM["bindings"].items()}
    settings.EVENT_STREAM = {"binders": {"kafka": {"type": "memory"}}, "bindings": bindings}
    for key, body in ((b"alpha", b"{ <b>"), (b"beta", b"\xff"), (None, b"[")):
        registry().channel(BINDING).publish(ProducerRecord(TOPIC, key, body, (("h", b"\xfe"),), 3)).result()
    consume()
    yield set()
    registry().close()


def consume() -> None:
    """Nothing of this can be decoded."""
    binding = registry().channel(BINDING).binding
    sink = Sink(binding, lambda _: None, error_handler=error_handler_for(binding))
    Worker(BINDING, sink).run(lambda: False, StopCondition.CAUGHT_UP)


def platform() -> MemoryBinder:
    binder = registry().binder("kafka")
    assert isinstance(binder, MemoryBinder)
    return binder


@pytest.fixture
def logged_in(django_user_model: Any) -> Callable[..., Client]:
    """A browser in which a member of the staff with these permissions has logged in."""

    def log_in(*permissions: str) -> Client:
        user = django_user_model.objects.create_user("-".join(permissions) or "nobody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(headers={"host": "localhost"})
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def staff(logged_in: Callable[..., Client]) -> Client:
    return logged_in("view_deadletter", "settle_deadletter")


def keys(client: Client, **query: str) -> list[str]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return [each.key for each in answer.context["cl"].result_list]


def ids(client: Client) -> dict[str, str]:
    """By key, as the pages name them."""
    return {each.key: each.pk for each in client.get(LIST).context["cl"].result_list}


def settle(client: Client, verb: str, *letters: str, confirmed: bool = True) -> Any:
    data = {"action": verb, "_selected_action": letters, **({"confirmed": "yes"} if confirmed else {})}
    return client.post(LIST, data, follow=True)


@pytest.mark.usefixtures("refused")
def test_what_is_found(staff: Client) -> None:
    assert set(keys(staff)) == {"alpha", "beta", "-"}
    assert keys(staff, q="alpha") == ["alpha"]
    assert keys(staff, q="ALPHA conversionerror") == ["alpha"]
    assert len(keys(staff, q="ConversionError")) == 3
    [of_beta] = keys(staff, q=ids(staff)["beta"].partition(":")[2])
    assert of_beta == "beta"
    assert keys(staff, q="' OR 1=1 --") == []
    assert len(keys(staff, state="open")) == 3
    assert keys(staff, state="settled") == keys(staff, state="awaited") == keys(staff, state="nonsense") == []


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("query", ["?p=99", "?p=x", "?o=1.2", "?pk__in=1", "?unknown=1", "?all="])
def test_no_url_is_a_server_error(staff: Client, query: str) -> None:
    assert staff.get(LIST + query).status_code in {200, 302}


@pytest.mark.usefixtures("refused")
def test_what_is_shown(staff: Client) -> None:
    page = staff.get(f"{LIST}{ids(staff)['alpha'].replace(':', '_3A')}/change/")
    text = page.content.decode()
    assert page.status_code == 200
    for part in ("orgChangeTopic[3] at offset 0", "licensingGroup", "Traceback", escape("{ <b>"), r"\\xfe"):
        assert part in text, part
    assert "<b>" not in text
    assert "Replay" in text


@pytest.mark.usefixtures("refused")
def test_nothing_is_done_before_it_is_confirmed(staff: Client) -> None:
    asked = settle(staff, "replay", ids(staff)["alpha"], confirmed=False)
    assert "Replay 1 dead letter?" in asked.content.decode()
    assert len(keys(staff)) == 3
    assert len(platform().sent(TOPIC)) == 3


@pytest.mark.usefixtures("refused")
def test_a_replay_goes_back_once_and_is_told(staff: Client) -> None:
    chosen = ids(staff)["alpha"]
    assert said(settle(staff, "replay", chosen)) == ["1 dead letter was replayed."]
    assert [record.key for record in platform().sent(TOPIC)].count(b"alpha") == 2
    assert "alpha" not in keys(staff)
    assert keys(staff, state="settled") == ["alpha"]
    assert settle(staff, "replay", chosen).status_code == 200
    assert [record.key for record in platform().sent(TOPIC)].count(b"alpha") == 2
    [entry] = LogEntry.objects.all()
    assert (entry.object_id, entry.get_change_message()) == (chosen, "Replayed.")
    # It fails again, and is open again.
    consume()
    assert "alpha" in keys(staff)


@pytest.mark.usefixtures("refused")
def test_what_somebody_else_has_settled_meanwhile_is_not_settled_again(staff: Client) -> None:
    """The page was opened before."""
    everything = list(ids(staff).values())
    original = registry().binder("kafka").read

    def first_another(binding: Any) -> Any:
        platform().read = original  # type: ignore[method-assign]
        before = list(original(binding))
        settle(staff, "discard", everything[0])
        return iter(before)

    platform().read = first_another  # type: ignore[method-assign]
    answer = settle(staff, "discard", *everything)
    assert said(answer)[-2:] == ["2 dead letters were discarded.", "1 had been dealt with already"]
    assert keys(staff) == []


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("permissions", "sees", "settles"),
    [
        ((), False, False),
        (("view_license",), False, False),
        (("view_deadletter",), True, False),
        (("view_deadletter", "settle_deadletter"), True, True),
    ],
)
def test_who_may(
    logged_in: Callable[..., Client], permissions: tuple[str, ...], sees: bool, settles: bool, staff: Client
) -> None:
    someone = logged_in("change_license", *permissions)
    chosen = ids(staff)["alpha"]
    assert someone.get(LIST).status_code == (200 if sees else 403)
    page = someone.get(f"{LIST}{chosen.replace(':', '_3A')}/change/")
    assert page.status_code == (200 if sees else 403)
    assert (">Replay<" in page.content.decode()) is settles
    settle(someone, "discard", chosen)
    assert ("alpha" not in keys(staff)) is settles


@pytest.mark.usefixtures("refused")
def test_no_letter_can_be_added_changed_or_deleted(staff: Client, admin_client: Client) -> None:
    chosen = ids(staff)["alpha"].replace(":", "_3A")
    for path in (f"{LIST}add/", f"{LIST}{chosen}/delete/"):
        assert admin_client.get(path, headers={"host": "localhost"}).status_code == 403
    assert admin_client.post(f"{LIST}{chosen}/change/", {}, headers={"host": "localhost"}).status_code == 403


def asked_for_all(client: Client, verb: str) -> Any:
    return select_all(client, LIST, verb, list(ids(client).values()))


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(("verb", "sent_again"), [("replay", True), ("discard", False)])
def test_select_all_takes_more_letters_than_a_form_may_have_fields(
    staff: Client, settings: Any, verb: str, *, sent_again: bool
) -> None:
    count = 1_154
    assert count > settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    for number in range(count - 3):
        key = f"key {number % 7}".encode()
        registry().channel(BINDING).publish(ProducerRecord(TOPIC, key, f"{{ {number}".encode(), (), 3)).result()
        if number % 50 == 0:
            # Before the worker stops for too many in a row.
            consume()
    consume()

    asked = asked_for_all(staff, verb)

    assert f"{verb.capitalize()} 1154 dead letters?" in asked.content.decode()
    assert len(asked.content) < 20_000
    done = confirm(staff, LIST, asked)
    assert done.status_code == 200
    assert said(done) == [f"1154 dead letters were {'replayed' if sent_again else 'discarded'}."]
    assert keys(staff) == []
    again = platform().sent(TOPIC)[count:]
    assert len(again) == (count if sent_again else 0)
    numbers = [record.value for record in again if record.key == b"key 3"]
    assert numbers == sorted(numbers, key=lambda value: int((value or b"{ 0")[2:]))


@pytest.mark.usefixtures("refused")
def test_select_all_leaves_what_was_parked_after_the_page_was_shown(staff: Client) -> None:
    asked = asked_for_all(staff, "discard")
    shown_at_ms = Form(asked.content.decode()).fields["parked_through_ms"][0]
    assert wait_until(lambda: time.time_ns() // 1_000_000 > int(shown_at_ms), within_s=5)
    registry().channel(BINDING).publish(ProducerRecord(TOPIC, b"later", b"{", (), 3)).result()
    consume()
    assert said(confirm(staff, LIST, asked)) == ["3 dead letters were discarded."]
    assert keys(staff) == ["later"]


@pytest.mark.usefixtures("refused")
def test_what_is_long_stretches_no_page_and_the_whole_body_is_a_file(staff: Client) -> None:
    key, body = "k" * 5_000, "{" + "b" * 1_000_000
    registry().channel(BINDING).publish(
        ProducerRecord(TOPIC, key.encode(), body.encode(), (("h", b"h" * 100_000),), 3)
    ).result()
    consume()
    listed = staff.get(LIST)
    assert key[:60] not in re.sub(r'title="[^"]*"', "", listed.content.decode())
    assert len(listed.content) < 50_000
    pk = ids(staff)[key].replace(":", "_3A")
    shown = staff.get(f"{LIST}{pk}/change/").content.decode()
    assert key in shown
    assert "The first 20,000 of 1,000,001 characters." in shown
    assert len(shown) < 100_000
    whole = staff.get(f"{LIST}{pk}/body/")
    assert (whole.status_code, whole.content) == (200, body.encode())
    assert whole["Content-Disposition"].startswith("attachment")
    assert staff.get(f"{LIST}inboundOrgChanges_3A9-9-9/body/").status_code == 404


@pytest.mark.usefixtures("refused")
def test_a_body_is_only_for_those_who_may_see_the_letter(logged_in: Callable[..., Client], staff: Client) -> None:
    url = f"{LIST}{ids(staff)['alpha'].replace(':', '_3A')}/body/"
    assert logged_in("view_license").get(url).status_code == 403
    assert staff.get(url).content == b"{ <b>"


@pytest.mark.usefixtures("refused")
def test_the_list_keeps_no_bodies_in_memory(staff: Client) -> None:
    """80 letters of 1 MB each were 515 MB for each view."""
    for _ in range(80):
        registry().channel(BINDING).publish(ProducerRecord(TOPIC, b"big", b"{" + b"b" * 1_000_000, (), 3)).result()
    consume()
    original = platform().read

    def fetched(binding: Any) -> Iterator[ConsumerRecord]:
        """As from a broker, each body takes memory of its own."""
        for record in original(binding):
            yield dataclasses.replace(record, value=bytes(bytearray(record.value or b"")))

    platform().read = fetched  # type: ignore[method-assign]
    staff.get(LIST)
    tracemalloc.start()
    try:
        listed = staff.get(LIST)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(listed.context["cl"].result_list) == 83
    assert peak < 10_000_000


@lets_sockets_leak
def test_a_broker_that_is_away_is_said_and_no_error(staff: Client, settings: Any) -> None:
    away = {"type": "kafka", "bootstrap_servers": [f"127.0.0.1:{free_port()}"], "bootstrap_timeout_ms": 200}
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": away}}
    with failed_connections():
        listed = staff.get(LIST)
        shown = staff.get(f"{LIST}inboundOrgChanges_3A1-2-3/change/", follow=True)
        settled = settle(staff, "discard", "inboundOrgChanges:1-2-3")
        registry().close()
    assert (listed.status_code, shown.status_code, settled.status_code) == (200, 200, 200)
    for answer in (listed, shown, settled):
        assert said(answer)[0].startswith(
            "The topic orgChangeTopic.licensingGroup.dlq can't be read: no Kafka broker"
        ), said(answer)
