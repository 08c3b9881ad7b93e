"""`manage.py cache_audit` says "not checked" where it could not look; what it finds is shown in tests/e2e."""

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devstack.ports import free_port
from event_stream import ProducerRecord
from event_stream.binders.memory import MemoryBinder
from event_stream.fenced_cache import FencedCache, FreshnessRequirement
from event_stream.messaging.channel import registry
from organization_lookup import lookup
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.licensing_project.organization_service import NASA, OrganizationService, answering

pytestmark = pytest.mark.django_db(transaction=True)
UNCHECKED = 5


@pytest.fixture(autouse=True)
def _signals(organization_service: OrganizationService) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    registry().close()


@pytest.fixture
def platform(settings: Any) -> MemoryBinder:
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": {"type": "memory"}}}
    binder = registry().binder("kafka")
    assert isinstance(binder, MemoryBinder)
    return binder


def audit(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Its exit code, what it has said, and its last sentence."""
    try:
        call_command("cache_audit", *arguments)
    except CommandError as error:
        return error.returncode, capsys.readouterr().out, str(error)
    return 0, capsys.readouterr().out, ""


def cache_nasa() -> None:
    lookup.current().find(NASA, FreshnessRequirement())


@pytest.mark.parametrize("status", [500, 401])
def test_a_sweep_without_the_organization_service_has_compared_nothing(
    organization_service: OrganizationService, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    cache_nasa()
    assert audit(capsys, "--sweep")[0] == 0
    organization_service.behaviour = answering(status)
    code, said, error = audit(capsys, "--sweep")
    assert (code, error) == (UNCHECKED, "Not checked: the organization service gave no answer about 1 of 1 entries.")
    assert "0 of 1 entries were compared" in said
    code, said, _ = audit(capsys, "--sweep", "--json")
    assert (code, json.loads(said)["unchecked"] != "") == (UNCHECKED, True)


@lets_sockets_leak
def test_without_the_broker_nothing_is_known_of_changes(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    away = {"type": "kafka", "bootstrap_servers": [f"127.0.0.1:{free_port()}"]}
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": away}}
    with failed_connections():
        code, said, error = audit(capsys, "--duration", "1")
    assert (code, error) == (UNCHECKED, "Not checked: the topic could not be read, or not to the end.")
    assert "nothing stale" not in said


def test_without_redis_nothing_is_known(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cache = FencedCache("away")
    settings.CACHES = {**settings.CACHES, "away": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    lookup.current().cache.scripts = cache.scripts
    code, _, error = audit(capsys, "--sweep")
    assert (code, error.startswith("Not checked: Redis: ")) == (UNCHECKED, True)


def change(platform: MemoryBinder, occurred_s_ago: float) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - occurred_s_ago))
    value = {"action": "UPDATED", "organizationId": NASA, "correlationId": "c", "version": 1, "occurredAt": at}
    platform.append(ProducerRecord("orgChangeTopic", NASA.encode(), json.dumps(value).encode(), ()))


def test_where_no_change_came_nothing_was_checked(platform: MemoryBinder, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, error = audit(capsys, "--until-caught-up")
    assert (code, error) == (UNCHECKED, "Not checked: no change came.")
    assert "nothing stale" not in said
    # Of one that is long past, the last check is made.
    change(platform, 3600)
    code, said, error = audit(capsys, "--until-caught-up")
    assert (code, "nothing stale was seen" in said, error) == (0, True, "")


def test_a_change_whose_checks_are_not_due_yet_is_not_checked(
    platform: MemoryBinder, capsys: pytest.CaptureFixture[str]
) -> None:
    change(platform, 0)
    code, _, error = audit(capsys, "--duration", "0.2")
    assert (code, error) == (UNCHECKED, "Not checked: no check fell due 30 s or more after a change.")


@pytest.mark.parametrize("arguments", [["--sweep"], ["--duration", "0.2"]])
def test_a_process_whose_settings_disagree_checks_nothing(
    platform: MemoryBinder, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    cache_nasa()
    FencedCache(namespace=lookup.current().cache.keys.namespace, partitions=5).claim()
    code, said, error = audit(capsys, *arguments)
    assert (code, said) == (UNCHECKED, "")
    assert error.startswith("Not checked: partitions is 6 here and 5 at the worker. Give the worker and the web")


@pytest.mark.parametrize("text", ["nan", "0", "-1", "inf", "soon", ""])
def test_a_duration_that_would_never_end_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"--duration: should be a number of seconds above 0, not"):
        call_command("cache_audit", f"--duration={text}")


@pytest.mark.parametrize("text", ["nan", "1,nan", "-1", "inf", "1e300", "soon", ""])
def test_a_check_that_would_never_be_due_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"--after: should be numbers of seconds between commas"):
        call_command("cache_audit", f"--after={text}")
