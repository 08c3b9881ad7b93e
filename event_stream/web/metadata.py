"""What OPTIONS answers."""

from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request


class Metadata(SimpleMetadata):
    """DRF's, without the fields of each write: OpenAPI has them, and DRF would look for the object in its own way."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        """Nothing, so that it is left out."""
        return {}
