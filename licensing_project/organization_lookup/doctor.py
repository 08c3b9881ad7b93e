"""What `manage.py doctor` looks at in the licensing service."""

from collections.abc import Iterator
from functools import partial
from uuid import uuid4

from django.conf import settings

from event_stream import doctor
from event_stream.consumer.pauses import pauses_of
from event_stream.doctor import Finding, bindings, failed, ok, redis, unknown
from event_stream.errors import UnavailableError
from event_stream.messaging.channel import Channel, registry
from organization_lookup import lookup
from organization_lookup.client import ServiceTokenError, UpstreamAuthError, UpstreamError

BINDING = "inboundOrgChanges"
WORKER = "manage.py consume_org_changes"
_CLOSE_TIMEOUT_S = 1.0


def partitions() -> Iterator[Finding]:
    """The cache's keys are made with their number."""
    binding = registry().channel(BINDING).binding
    expected, subject = settings.ORG_CHANGE_PARTITIONS, "ORG_CHANGE_PARTITIONS"
    channel = Channel(binding, registry().binder(binding.binder))
    try:
        actual = channel.partition_count()
    except UnavailableError:
        yield unknown(subject, f"{binding.destination} can't be asked for its partitions")
        return
    finally:
        channel.close(_CLOSE_TIMEOUT_S)
    if actual == expected:
        yield ok(subject, f"{expected}, as {binding.destination} has them")
    else:
        remedy = f"set it to {actual} for the worker and the web processes alike, or make the topic anew"
        yield failed(subject, f"{expected}, but {binding.destination} has {actual}", remedy)


def cache() -> Iterator[Finding]:
    yield from redis.check(
        lookup.current().cache,
        worker=WORKER,
        remedy=lookup.REMEDY,
        has_log=lookup.has_log(),
        paused=pauses_of(BINDING),
    )


def organization_service() -> Iterator[Finding]:
    """Asked as a lookup asks, for an organization that there can't be."""
    subject, options = "organization service", settings.ORGANIZATION_LOOKUP
    try:
        lookup.current().client.get(str(uuid4()), options.budget_s)
    except UpstreamError as fault:
        remedy = "start it, or correct ORGANIZATION_SERVICE_URL; lookups serve what is cached meanwhile"
        yield failed(subject, f"{options.base_url}: {fault}", remedy)
    except ServiceTokenError as fault:
        remedy = "renew ORGANIZATION_TOKEN_FILE; callers with tokens of their own are answered meanwhile"
        yield failed(subject, f"{options.base_url}: {fault}", remedy)
    except UpstreamAuthError as refused:
        yield ok(subject, f"{options.base_url} answers, with {refused.status} to whoever brings no token of his own")
    else:
        yield ok(subject, f"{options.base_url} answers")


doctor.register("partitions", partitions)
doctor.register("group", partial(bindings.check_group, BINDING, worker=WORKER))
doctor.register("cache", cache)
doctor.register("organization service", organization_service)
