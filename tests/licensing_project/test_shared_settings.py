"""A web process and a worker whose settings differ, and two workers: what each of them does, and says."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from devstack.waiting import wait_until
from event_stream.fenced_cache import CacheStatus, FencedCache, FreshnessRequirement
from event_stream.messaging.channel import registry
from organization_lookup import lookup
from organization_lookup.management.commands import consume_org_changes
from tests.licensing_project.organization_service import NASA, OrganizationService
from tests.licensing_project.test_doctor import doctor

pytestmark = pytest.mark.django_db(transaction=True)
READY = "/health/ready"
DIFFERENCE = "partitions is 6 here and 5 at the worker"


@pytest.fixture(autouse=True)
def platform(settings: Any, organization_service: OrganizationService) -> Iterator[None]:
    bindings = {name: {**each, "producer": {}} for name, each in settings.EVENT_STREAM["bindings"].items()}
    settings.EVENT_STREAM = {"binders": {"kafka": {"type": "memory"}}, "bindings": bindings}
    yield
    registry().close()


@pytest.fixture
def others(organization_service: OrganizationService) -> FencedCache:
    """Workers with five partitions are there, and have read the partition that NASA is looked for in."""
    cache = FencedCache(namespace=lookup.current().cache.keys.namespace, partitions=5)
    cache.claim()
    for partition in range(5):
        cache.begin_epoch(partition, -1, instead_of=None)
        cache.apply(partition, -1, 0, (), cache.clock.now_ms())
    return cache


def test_a_web_process_without_a_worker_is_ready(api: Client) -> None:
    answer = api.get(READY)
    assert (answer.status_code, answer.json()["checks"]["shared settings"]) == (200, "UP")


@pytest.mark.usefixtures("others")
def test_a_web_process_that_disagrees_is_not_ready_and_says_why(api: Client, caplog: pytest.LogCaptureFixture) -> None:
    answers = [api.get(READY) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["checks"] == {"database": "UP", "shared settings": "DOWN", "freshness": "DEGRADED"}
    assert answers[0].json()["details"]["shared settings"].startswith(f"{DIFFERENCE}. Give the worker and the web")
    [line] = [record for record in caplog.records if record.message == "health.down"]
    assert vars(line)["error"].startswith(DIFFERENCE)


@pytest.mark.usefixtures("others")
def test_a_web_process_that_disagrees_asks_past_the_cache(organization_service: OrganizationService) -> None:
    def found() -> Any:
        return lookup.current().find(NASA, FreshnessRequirement())

    assert [found().source for _ in range(2)] == [CacheStatus.BYPASS] * 2
    version = organization_service.put(NASA, name="New")
    assert found().version == version


@pytest.mark.usefixtures("others")
def test_the_doctor_says_it() -> None:
    code, found = doctor()
    assert (code, found["shared settings"]["level"]) == (4, "failed")
    assert DIFFERENCE in found["shared settings"]["text"]
    assert "ORG_CHANGE_PARTITIONS" in found["shared settings"]["remedy"]
    assert "6 of 6 partitions have had no heartbeat" in found["watermarks"]["text"]


@pytest.mark.usefixtures("others")
def test_one_entry_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("cache_inspect", NASA)
    assert "a worker with other settings wrote the watermark" in capsys.readouterr().out


def test_a_worker_whose_number_of_partitions_is_the_topics_takes_over(others: FencedCache, api: Client) -> None:
    call_command("consume_org_changes", "--until-caught-up")
    assert api.get(READY).status_code == 200
    recorded = others.recorded()
    assert recorded is not None
    assert recorded.settings == lookup.current().cache.shared


def test_a_worker_waits_for_those_with_another_topic_to_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = lookup.current().cache
    others = FencedCache(namespace=cache.keys.namespace, shared={"ORG_CHANGE_TOPIC": "another"})
    others.claim()
    monkeypatch.setattr(consume_org_changes, "_ASK_AGAIN_S", 0.01)
    agreed: list[bool] = []
    waiting = threading.Thread(target=lambda: agreed.append(consume_org_changes._claim(cache, threading.Event())))
    waiting.start()
    assert wait_until(lambda: "worker.other_settings" in caplog.messages, within_s=10)
    assert not agreed
    others.scripts.redis.delete(others.keys.shared_settings)
    waiting.join(10)
    assert agreed == [True]
    [line] = [record for record in caplog.records if record.message == "worker.other_settings"]
    assert line.levelno == logging.ERROR
    assert "ORG_CHANGE_TOPIC is not set here and another at the worker" in vars(line)["error"]


def test_a_worker_that_has_been_replaced_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = lookup.current().cache

    def replaced(_cache: FencedCache, _stop: threading.Event) -> bool:
        FencedCache(namespace=cache.keys.namespace, partitions=5).claim(take_over=True)
        return True

    monkeypatch.setattr(consume_org_changes, "_claim", replaced)
    with pytest.raises(CommandError, match=f"{DIFFERENCE}. Give all processes the same"):
        call_command("consume_org_changes", "--until-caught-up")


def test_each_setting_that_must_be_the_same_is_recorded(settings: Any) -> None:
    lookup._made.cache_clear()
    try:
        assert lookup._made().cache.shared.values == {
            "partitions": str(settings.ORG_CHANGE_PARTITIONS),
            "EVENT_BINDER": "kafka",
            "ORG_CHANGE_TOPIC": settings.ORG_CHANGE_TOPIC,
            "LICENSING_GROUP": settings.LICENSING_GROUP,
        }
    finally:
        lookup._made.cache_clear()
