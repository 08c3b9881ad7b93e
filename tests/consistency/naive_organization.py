"""The control's organization service, as it is usually written: it commits, then sends, and does not look back.

PATCH /v1/organization/{id} makes the next version of a row of `naive_organization`; GET answers with it.
"""

import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import psycopg
from kafka import KafkaProducer

_STATEMENTS = {
    "GET": "SELECT version FROM naive_organization WHERE id = %s",
    "PATCH": "UPDATE naive_organization SET version = version + 1 WHERE id = %s RETURNING version",
}


@cache
def _producer() -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"].split(","))


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    method, organization_id = environ["REQUEST_METHOD"], environ["PATH_INFO"].rpartition("/")[2]
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute(_STATEMENTS[method], [organization_id]).fetchone()
    version = row[0] if row else 0
    if method == "PATCH":
        event = {"action": "UPDATED", "organizationId": organization_id, "version": version}
        _producer().send(os.environ["ORG_CHANGE_TOPIC"], key=organization_id.encode(), value=json.dumps(event).encode())
    start_response("200 OK", [("Organization-Version", str(version)), ("Content-Length", "0")])
    return []
