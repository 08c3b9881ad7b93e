"""A consumer on Spring Cloud Stream 4.2 reads what the relay sends, whatever its words and its format."""

from pathlib import Path

import pytest

from tests.event_stream.leaks import lets_sockets_leak
from tests.org_project.test_outbound import Publish, publish, split
from tests.spring_cloud_stream.service import SpringCloudStream, jar

__all__ = ["publish"]

pytestmark = lets_sockets_leak


@pytest.fixture(autouse=True)
def built() -> None:
    """Before anything is published: most runs skip here."""
    jar()


@pytest.mark.parametrize("format", ["json", "cloudevents", "cloudevents-binary"])
@pytest.mark.parametrize(
    ("actions", "words"),
    [("standard", ["CREATED", "UPDATED", "DELETED"]), ("spring", ["SAVE", "UPDATE", "DELETE"])],
)
def test_it_reads_every_change(
    publish: Publish, kafka_bootstrap_servers: str, tmp_path: Path, actions: str, words: list[str], format: str
) -> None:
    records = publish(ORG_CHANGE_ACTIONS=actions, ORG_CHANGE_FORMAT=format)
    changes, heartbeats = split(records)
    assert heartbeats
    with SpringCloudStream(kafka_bootstrap_servers, records[0].destination, tmp_path) as spring:
        spring.wait_for("GET")
        read = spring.read
    organization_id = (changes[0].key or b"").decode()
    assert [each["action"] for each in read if each["organizationId"] == organization_id] == words
    # The rest are heartbeats. What it can't make anything of, it hands over with null in each field.
    others = [each for each in read if each["organizationId"] != organization_id]
    assert {(each["action"], each["organizationId"]) for each in others} == {("GET", None)}
