"""How many dead letters are open and how many records wait, as `/metrics` tells it, beside what lies on Kafka."""

from typing import Any

import pytest
from django.core.management import call_command

from event_stream.errors import UnavailableError
from event_stream.metrics import consumer, names
from event_stream.metrics.consumer import DeadLettersSource, LagSource
from event_stream.metrics.exposition import Sample, Source
from tests.licensing_project.test_poison import LAST, ServiceCluster, change, platform

__all__ = ["platform"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("organization_service")]
BINDING = "inboundOrgChanges"


@pytest.fixture
def configured(platform: ServiceCluster, settings: Any) -> ServiceCluster:
    """The service's own binding leads to the topic of this test."""
    own = settings.EVENT_STREAM["bindings"][BINDING]
    binding = {**own, "destination": platform.binding.destination, "group": platform.binding.group}
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "bindings": {BINDING: binding}}
    return platform


def read(source: Source) -> list[Sample]:
    return list(source.read())


def test_it_is_what_waits_for_a_person(configured: ServiceCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        configured.send(b"{ no json", b"customer-%d" % number)
    configured.send(change(LAST), LAST.encode())
    configured.consume()

    assert read(DeadLettersSource(BINDING)) == [Sample(names.DEAD_LETTERS_OPEN, 4, (BINDING,))]
    assert len(configured.letters()) == 4

    call_command("dead_letters", "discard", "--key", "customer-1")
    assert read(DeadLettersSource(BINDING)) == [Sample(names.DEAD_LETTERS_OPEN, 3, (BINDING,))]

    # Four letters and a mark: beyond the limit nothing is told, rather than what is not so.
    monkeypatch.setattr(consumer, "MOST_LETTERS", 4)
    with pytest.raises(UnavailableError, match="has more than 4 records"):
        read(DeadLettersSource(BINDING))


def test_the_lag_is_what_the_group_has_not_handled(configured: ServiceCluster) -> None:
    for _ in range(7):
        configured.send(change(LAST), LAST.encode())
    assert read(LagSource(BINDING)) == [Sample(names.CONSUMER_LAG, 7, (BINDING,))]
    configured.consume()
    assert read(LagSource(BINDING)) == [Sample(names.CONSUMER_LAG, 0, (BINDING,))]
    configured.send(change(LAST), LAST.encode())
    assert read(LagSource(BINDING)) == [Sample(names.CONSUMER_LAG, 1, (BINDING,))]
