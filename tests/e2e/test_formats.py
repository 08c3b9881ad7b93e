"""What the organization service publishes is a matter of its settings alone: licensing reads any of it."""

import uuid
from pathlib import Path

from event_stream.binders.kafka import KafkaBinder
from event_stream.binding import Binding
from manage_scripts.stack.platform import Platform
from manage_scripts.stack.servers import Servers
from tests.e2e.world import World, fresh, redis_database


def test_cloudevents_in_springs_words_evict(servers: Servers, tmp_path: Path) -> None:
    platform = Platform(
        servers,
        tmp_path,
        topic=f"e2e-{uuid.uuid4().hex}",
        databases=("e2e_formats_organization", "e2e_formats_licensing"),
        redis_url=redis_database(servers.redis_url, 9),
        settings={
            "WEB_CONCURRENCY": "1",
            "ORGANIZATION_BOUND_S": "120",
            # Licensing has no such settings.
            "ORG_CHANGE_FORMAT": "cloudevents",
            "ORG_CHANGE_ACTIONS": "spring",
        },
    )
    platform.prepare()
    with platform, World(platform) as world:
        customer = world.customer()
        world.cached(customer)
        watch = world.watch_workers()
        contact = fresh("contact")

        world.change(customer, contact)

        watch.eviction(customer.id)
        assert [(each.cache, each.contact) for each in world.lookups(customer)] == [("miss", contact)]
        binder = KafkaBinder("kafka", {"bootstrap_servers": servers.kafka_bootstrap_servers.split(",")})
        bodies = [record.value or b"" for record in binder.read(Binding("in", platform.topic, "kafka"))]
        assert all(b'"specversion":"1.0"' in body for body in bodies)
        assert [body for body in bodies if b'"action":"UPDATE"' in body and customer.id.encode() in body]
        assert not watch.seen("message.rejected")
