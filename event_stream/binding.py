"""A binding ties a name that application code uses to a destination on a platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Binding:
    """One entry of EVENT_STREAM["bindings"], checked. `group` is None for a binding that only sends."""

    name: str
    destination: str
    binder: str
    content_type: str = "application/json"
    group: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The binder's own settings for this binding, and the worker's: see the binder's documentation."""
