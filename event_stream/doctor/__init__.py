"""What `manage.py doctor` looks at. Each app adds its own checks in a module `doctor`, which the command imports:

from event_stream import doctor

doctor.register("stock", check_stock)     # a function that yields `doctor.ok(...)`, `doctor.failed(...)`
"""

from event_stream.doctor import bindings, database, letters, settings
from event_stream.doctor.examination import Check, examine, register, registered
from event_stream.doctor.finding import Finding, Level, failed, ok, unknown, warning

register("settings", settings.check)
register("database", database.check)
register("bindings", bindings.check)
register("dead letters", letters.check)

__all__ = ["Check", "Finding", "Level", "examine", "failed", "ok", "register", "registered", "unknown", "warning"]
