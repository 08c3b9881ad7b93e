"""Cache-aside: in the cache, else over HTTP and into the cache."""

from typing import Any
from uuid import UUID

import httpx
from django.core.cache import cache
from environs import env

_TTL_S = 300
_client = httpx.Client(
    base_url=env.str("ORGANIZATION_SERVICE_URL"),
    timeout=2,
    headers={"Authorization": env.str("PLAIN_AUTHORIZATION", "")},
)


def find(organization_id: UUID) -> dict[str, Any]:
    key = f"organization:{organization_id}"
    organization: dict[str, Any] | None = cache.get(key)
    if organization is None:
        answer = _client.get(f"/v1/organization/{organization_id}").raise_for_status().json()
        contact = {field: answer[field] for field in ("contactName", "contactEmail", "contactPhone")}
        organization = {"organizationName": answer["name"], **contact}
        cache.set(key, organization, _TTL_S)
    return organization
