"""What every problem answer has in common."""

import json
from typing import Any

from service_kit.problem_details import MEDIA_TYPE


def body_of(response: Any) -> dict[str, Any]:
    assert response["Content-Type"] == MEDIA_TYPE
    body: dict[str, Any] = json.loads(response.content)
    assert body["status"] == response.status_code
    assert body["correlationId"] == response["tmx-correlation-id"]
    assert body["instance"] == response.request["PATH_INFO"]
    assert isinstance(body["title"], str)
    assert isinstance(body["detail"], str)
    return body
