"""The organization service without events: the same views, the same table, and nobody is told of a change.

Served with `--chdir org_project`, on a database of its own whose triggers for events are off.
"""

import importlib

application = importlib.import_module("org_project.wsgi").application


def _publish_nothing(*_args: object, **_kwargs: object) -> None: ...


importlib.import_module("organizations.events").publish = _publish_nothing  # type: ignore[attr-defined]
