"""The operations pages and what is behind them, with the worker of this service on the binder in memory."""

import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from devstack.waiting import wait_until
from event_stream import ProducerRecord, UnavailableError, signals
from event_stream.binders.memory import MemoryBinder
from event_stream.consumer.pauses import NO_PAUSES, Pauses, pauses_of
from event_stream.consumer.worker import Worker
from event_stream.fenced_cache import CacheStatus, FetchFailed, FreshnessRequirement, State
from event_stream.fenced_cache.cache import Eviction
from event_stream.messaging.channel import registry
from event_stream.operations import reporting, series
from event_stream.operations.cache import observed_cache, watermarks
from event_stream.operations.models import Pause, Process, Sample
from event_stream.operations.pages.cache import totals
from event_stream.operations.pauses import pause, read_pauses, resume
from event_stream.operations.web import WebReport
from organization_lookup import lookup
from tests.event_stream.handlers import Recorder
from tests.licensing_project.organization_service import NASA, Answer, OrganizationService, answering

# Workers report on a thread of their own, which sees no transaction of a test.
pytestmark = pytest.mark.django_db(transaction=True)
BINDING, TOPIC = "inboundOrgChanges", "orgChangeTopic"
URL = "/admin/event_stream_operations/operations/"
WORKERS, CACHE = f"{URL}workers/", f"{URL}cache/"
WITHIN_S = 20.0


@pytest.fixture
def binder(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBinder]:
    """Kafka's place, empty; processes report as fast as they can."""
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": {"type": "memory", "partitions": 3}}}
    settings.EVENT_STREAM_OPERATIONS = {"status_interval_s": 0.02, "sample_interval_s": 0.5}
    monkeypatch.setattr(reporting, "_reporter", None)
    binder = registry().binder("kafka")
    assert isinstance(binder, MemoryBinder)
    yield binder
    registry().close()


@contextmanager
def working(handler: Any) -> Iterator[Worker]:
    """A worker of the service's binding on a thread."""
    worker, stop = Worker(BINDING, handler), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def send(binder: MemoryBinder, *values: str, partition: int = 0) -> None:
    for value in values:
        binder.append(ProducerRecord(TOPIC, None, value.encode(), partition=partition))


def eventually(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, within_s=WITHIN_S)


def partitions() -> dict[int, dict[str, Any]]:
    """What the running worker has written about its partitions."""
    process = Process.objects.filter(kind="worker", stopped_at=None).first()
    return {} if process is None else {report["number"]: report for report in process.state["partitions"]}


def states() -> dict[int, str]:
    return {number: report["state"] for number, report in partitions().items()}


READING = {0: "reading", 1: "reading", 2: "reading"}


def person(*permissions: str) -> Client:
    user = User.objects.create_user(f"person{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


@pytest.fixture
def operator(db: None) -> Client:
    return person("view_operations", "operate")


def test_a_worker_writes_what_is_true_of_it(binder: MemoryBinder) -> None:
    handler = Recorder()
    send(binder, "a", "b", "c")
    send(binder, "x", partition=2)
    before = timezone.now()
    with working(handler):
        eventually(lambda: len(handler.handled) == 4)
        eventually(lambda: {number: report["handled"] for number, report in partitions().items()} == {0: 3, 1: 0, 2: 1})
        eventually(lambda: [report["lag"] for report in partitions().values()] == [0, 0, 0])
        assert {number: report["position"] for number, report in partitions().items()} == {0: 3, 1: 0, 2: 1}
        process = Process.objects.get()
        assert (process.kind, process.binding, process.missed) == ("worker", BINDING, 0)
        assert process.configuration["group"] == "licensingGroup"
        assert "bootstrap" not in json.dumps(process.configuration), "the platform's properties may hold secrets"
        assert before <= process.started_at <= process.seen_at <= timezone.now()
        assert process.stopped_at is None
    process.refresh_from_db()
    assert process.stopped_at is not None


def test_samples_of_a_worker_are_kept_and_old_ones_go(binder: MemoryBinder) -> None:
    old = timezone.now() - timedelta(days=8)
    Sample.objects.create(series="old", source="0" * 32, at=old, value=1)
    Process.objects.create(id="0" * 32, kind="web", host="gone", pid=1, started_at=old, seen_at=old)
    handler = Recorder()
    with working(handler):
        send(binder, *"abcdef")
        eventually(lambda: Sample.objects.filter(series=f"worker.lag.{BINDING}").count() >= 3)
        send(binder, *"gh", partition=1)
        eventually(lambda: handled_by_samples() == 8)
        send(binder, "i")
        eventually(lambda: len(handler.handled) == 9)
    assert handled_by_samples() == 9, "the last interval of a worker that ends is not lost"
    assert not Sample.objects.filter(series="old").exists()
    assert not Process.objects.filter(host="gone").exists()


def handled_by_samples() -> float:
    return series.total(f"worker.handled.{BINDING}", timezone.now() - timedelta(hours=1))


def test_a_running_worker_follows_a_pause_and_its_end(binder: MemoryBinder) -> None:
    handler = Recorder()
    with working(handler):
        eventually(lambda: states() == READING)
        assert pause(BINDING, 0, "looking at it")
        assert not pause(BINDING, 0), "it was already"
        eventually(lambda: states() == {**READING, 0: "paused"})
        send(binder, "held")
        send(binder, "going on", partition=1)
        eventually(lambda: handler.handled == [b"going on"])
        eventually(lambda: partitions()[0]["lag"] == 1)
        assert resume(BINDING, 0)
        assert not resume(BINDING, 0)
        eventually(lambda: handler.handled[1:] == [b"held"])


def test_a_pause_is_kept_over_a_restart_of_the_worker(binder: MemoryBinder) -> None:
    send(binder, "held")
    pause(BINDING, None)
    handler = Recorder()
    with working(handler):
        eventually(lambda: states() == dict.fromkeys(READING, "paused"))
        assert handler.batches == []
    with working(handler):
        eventually(lambda: states() == dict.fromkeys(READING, "paused"))
        assert handler.batches == []
        resume(BINDING, None)
        eventually(lambda: handler.handled == [b"held"])


def test_the_end_of_a_bindings_pause_ends_those_of_its_partitions(binder: MemoryBinder) -> None:
    pause(BINDING, 1)
    pause(BINDING, None)
    pause("auditOrgChanges", 1)
    assert read_pauses(BINDING) == Pauses(whole=True, partitions=frozenset({1}))
    resume(BINDING, None)
    assert read_pauses(BINDING) == NO_PAUSES
    assert pauses_of("auditOrgChanges") == Pauses(partitions=frozenset({1}))


def test_without_the_database_a_worker_goes_on_and_says_so(
    binder: MemoryBinder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handler, away = Recorder(), threading.Event()
    write = reporting.Reporter._write

    def refuse(self: reporting.Reporter, rows: Any) -> None:
        if away.is_set():
            raise OperationalError("the database is away")
        write(self, rows)

    monkeypatch.setattr(reporting.Reporter, "_write", refuse)
    away.set()
    with working(handler):
        send(binder, "a")
        eventually(lambda: handler.handled == [b"a"])
        eventually(lambda: "operations.not_recorded" in [record.message for record in caplog.records])
        away.clear()
        eventually(Process.objects.exists)
    assert Process.objects.get().missed > 0
    assert [record.message for record in caplog.records].count("operations.not_recorded") == 1


def test_pages_are_for_those_who_may_view_and_actions_for_those_who_may_operate(binder: MemoryBinder) -> None:
    for path in (URL, WORKERS):
        assert person().get(path).status_code == 403
        assert Client(headers={"host": "localhost"}).get(path).status_code == 302
    reader = person("view_operations")
    assert "Operations" in reader.get("/admin/").content.decode()
    assert reader.get(URL).status_code == 200
    page = reader.get(WORKERS).content.decode()
    assert BINDING in page
    assert "<button" not in page.partition("data-operations-live")[2], "nothing to press for those who only read"
    assert reader.post(WORKERS, {"action": "pause", "binding": BINDING}).status_code == 403
    assert not Pause.objects.exists()
    assert reader.get(f"{URL}nothing/").status_code == 404


def test_a_partition_is_paused_and_resumed_on_the_page(binder: MemoryBinder, operator: Client) -> None:
    with working(Recorder()):
        eventually(lambda: states() == READING)
        answer = operator.post(
            WORKERS, {"action": "pause", "binding": BINDING, "partition": "1", "reason": "new schema"}, follow=True
        )
        assert f"Partition 1 of {BINDING} is paused" in answer.content.decode()
        eventually(lambda: states() == {**READING, 1: "paused"})
        page = operator.get(WORKERS).content.decode()
        assert f"Resume partition 1 of {BINDING}" in page
        assert f"Pause partition 2 of {BINDING}" in page
        assert "new schema" in page
        operator.post(WORKERS, {"action": "resume", "binding": BINDING, "partition": "1"})
        eventually(lambda: states() == READING)
    assert list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")) == [
        (f"partition 1 of {BINDING}", "Paused. Reason: new schema"),
        (f"partition 1 of {BINDING}", "Resumed."),
    ]
    overview = operator.get(URL).content.decode()
    assert "Paused. Reason: new schema" in overview
    assert "stopped" in overview


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"action": "pause", "binding": "nothing"}, "There is no such binding."),
        ({"action": "pause", "binding": BINDING, "partition": "-1"}, "A partition is a whole number."),
        ({"action": "pause", "binding": BINDING, "partition": "9" * 12}, "A partition is a whole number."),
        ({"action": "resume", "binding": BINDING}, f"The binding {BINDING} was not paused."),
        ({"action": "explode", "binding": BINDING}, "There is no such action."),
    ],
)
def test_what_can_not_be_done_is_refused_in_words(
    binder: MemoryBinder, operator: Client, form: dict[str, str], message: str
) -> None:
    assert message in operator.post(WORKERS, form, follow=True).content.decode()
    assert not Pause.objects.exists()
    assert not LogEntry.objects.exists()


def test_a_process_that_says_nothing_is_shown_as_gone(binder: MemoryBinder, operator: Client) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    report = {"number": 4, "state": "reading", "since_ms": 0, "position": 7, "lag": 1, "handled": 7, "rate": 1.0}
    Process.objects.create(
        id="1" * 32,
        kind="worker",
        binding=BINDING,
        host="killed",
        pid=7,
        started_at=long_ago,
        seen_at=long_ago,
        state={"partitions": [report], "handled": 7},
    )
    assert ">gone<" in operator.get(URL).content.decode()
    page = operator.get(WORKERS).content.decode()
    assert "No worker reads it." in page
    assert ">no worker<" in page
    assert "killed:7, was seen" in page


def test_freshness_stays_honest_while_a_binding_is_paused(
    binder: MemoryBinder, organization_service: OrganizationService, tuned: Any
) -> None:
    """Nothing is evicted meanwhile, so nothing may be called fresh for longer than the maximum staleness."""
    tuned(max_staleness_s=0.3)
    assert find() is CacheStatus.MISS
    pause(BINDING, None)
    version = organization_service.put(NASA, name="New")
    eventually(lambda: lookup.current().cache.read(NASA).state is not State.HIT)
    found = lookup.current().find(NASA, FreshnessRequirement())
    assert (found.source, found.version) == (CacheStatus.MISS, version)


def find(id: str = NASA) -> CacheStatus:
    return lookup.current().find(id, FreshnessRequirement()).source


@pytest.fixture
def web() -> Iterator[WebReport]:
    """What a web process counts."""
    report = WebReport()
    signals.lookup_answered.connect(report.lookup_answered)
    signals.cache_filled.connect(report.cache_filled)
    yield report
    signals.lookup_answered.disconnect(report.lookup_answered)
    signals.cache_filled.disconnect(report.cache_filled)


def test_lookups_and_fills_are_counted_as_they_were(
    web: WebReport, organization_service: OrganizationService, operator: Client
) -> None:
    sources = [find(NASA) for _ in range(3)] + [find(str(uuid.uuid4()))]
    assert sources == [CacheStatus.MISS, CacheStatus.HIT, CacheStatus.HIT, CacheStatus.MISS]
    organization_service.behaviour = evicting(organization_service)
    overtaken = lookup.current().find(NASA, FreshnessRequirement(no_cache=True))
    organization_service.behaviour = answering(500)
    with pytest.raises(FetchFailed):
        find(str(uuid.uuid4()))
    assert overtaken.source is CacheStatus.MISS
    counted = {"hit": 2, "miss": 3, "failed": 1}
    assert {name: count for name, count in web.state().items() if "lookups" in name} == {
        f"cache.lookups.{status}": count for status, count in counted.items()
    }
    series.record(uuid.uuid4(), timezone.now(), web.samples())
    assert web.samples() == dict.fromkeys(web.state(), 0.0), "each is counted once"
    figures = totals()
    assert figures.lookups == {"hit": 2, "miss": 3, "stale": 0, "bypass": 0, "failed": 1}
    assert figures.fills == {"filled": 2, "lease_lost": 1, "older": 0}
    assert figures.hit_percent == pytest.approx(100 / 3)
    assert figures.refused_fills == 1
    page = operator.get(CACHE).content.decode()
    assert "33.3 %" in page


@pytest.mark.usefixtures("organization_service")
def test_the_page_of_the_cache_shows_watermarks_as_redis_has_them(binder: MemoryBinder, operator: Client) -> None:
    cache = lookup.current().cache
    now_ms = time.time_ns() // 1_000_000
    for partition, age_s in enumerate((1, 2, 3, 4, 60)):
        cache.begin_epoch(partition, 40 + partition, instead_of=None)
        mark = cache.watermark(partition)
        assert mark is not None
        cache.apply(partition, mark.offset, mark.offset + 1, [], now_ms - age_s * 1000)
    pause(BINDING, 3)
    observed = observed_cache()
    assert observed is not None
    rows = watermarks(observed)
    assert [row.offset for row in rows] == [41, 42, 43, 44, 45, None]
    assert [round(row.age_s) if row.age_s is not None else None for row in rows] == [1, 2, 3, 4, 60, None]
    assert [row.is_fresh for row in rows] == [True, True, True, True, False, False]
    assert [row.is_paused for row in rows] == [False, False, False, True, False, False]
    page = operator.get(CACHE).content.decode()
    assert "the worker has not read this partition" in page
    assert "lookups ask the origin each time" in page


@pytest.mark.usefixtures("organization_service")
def test_an_organization_is_explained_looked_up_and_evicted(operator: Client) -> None:
    asked = f"{CACHE}?id={NASA.upper()}"
    assert "no entry: never looked up" in operator.get(asked).content.decode()
    answer = operator.post(asked, {"action": "lookup", "id": NASA}, follow=True).content.decode()
    assert f"{NASA}: miss, version" in answer
    assert "a value of" in answer
    assert find() is CacheStatus.HIT
    answer = operator.post(asked, {"action": "evict", "id": NASA}, follow=True).content.decode()
    assert f"The organization {NASA} is evicted" in answer
    assert find() is CacheStatus.MISS
    assert [(entry.object_repr, entry.change_message) for entry in LogEntry.objects.all()] == [
        (f"organization {NASA}", "Evicted from the cache.")
    ]
    assert "is no id of an organization" in operator.get(f"{CACHE}?id=nasa").content.decode()
    for form in ({"action": "evict", "id": "nasa"}, {"action": "evict"}):
        assert "is no id of an organization" in operator.post(CACHE, form, follow=True).content.decode()
    assert person("view_operations").post(CACHE, {"action": "evict", "id": NASA}).status_code == 403


def test_an_owner_that_is_away_fails_the_lookup_and_not_the_page(
    organization_service: OrganizationService, operator: Client
) -> None:
    organization_service.behaviour = answering(500)
    answer = operator.post(f"{CACHE}?id={NASA}", {"action": "lookup", "id": NASA}, follow=True)
    assert f"The lookup of {NASA} failed" in answer.content.decode()


def test_a_redis_that_is_away_is_said_on_the_page(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise UnavailableError("Redis: refused")

    monkeypatch.setattr(lookup.current().cache, "watermark", refuse)
    page = operator.get(CACHE)
    assert page.status_code == 200
    assert "Redis can't be asked: Redis: refused" in page.content.decode()


@pytest.mark.usefixtures("organization_service")
def test_a_worker_samples_how_stale_the_cache_can_be(binder: MemoryBinder) -> None:
    cache = lookup.current().cache
    with working(Recorder()):
        for partition in range(cache.keys.partitions):
            cache.begin_epoch(partition, 0, instead_of=None)
            cache.apply(partition, 0, 1, [], time.time_ns() // 1_000_000 - 5_000)
        eventually(Sample.objects.filter(series="cache.staleness", value__gt=4.9, value__lt=60).exists)


@pytest.mark.usefixtures("organization_service")
def test_the_doctors_findings_are_those_of_the_command(binder: MemoryBinder, operator: Client, settings: Any) -> None:
    settings.ORG_CHANGE_PARTITIONS = 5
    page = operator.get(f"{URL}doctor/").content.decode()
    assert "5, but orgChangeTopic has 3" in page
    assert ">failed<" in page
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", "--json", stdout=out)
    for finding in json.loads(out.getvalue())["findings"]:
        assert f">{finding['subject']}<" in page


def evicting(service: OrganizationService) -> Answer:
    """An answer that an eviction overtakes; the later ones are as usual."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        lookup.current().cache.evict([Eviction(NASA)])
        service.behaviour = None
        service.answer(handler)

    return answer
