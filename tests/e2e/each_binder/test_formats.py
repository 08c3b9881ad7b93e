"""What the organization service publishes is a matter of its settings alone: licensing reads any of it."""

import json
import uuid
from pathlib import Path

from devstack.cluster import ServiceCluster
from devstack.servers import Servers
from tests.e2e.world import World, fresh, own_databases, redis_database


def test_cloudevents_in_springs_words_evict(servers: Servers, tmp_path: Path) -> None:
    platform = ServiceCluster(
        servers,
        tmp_path,
        topic=f"e2e-{uuid.uuid4().hex}",
        databases=own_databases("e2e_formats", servers.binder),
        redis_url=redis_database(servers.redis_url, 9),
        settings={
            "WEB_CONCURRENCY": "1",
            "ORGANIZATION_MAX_STALENESS_S": "120",
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
        event = json.loads(world.record(world.published(customer.id)).value or b"")
        assert (event["specversion"], event["subject"], event["data"]["action"]) == ("1.0", customer.id, "UPDATE")
        assert not watch.seen("message.rejected")
