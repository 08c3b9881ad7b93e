"""What `manage.py doctor` looks at. Each app adds its own checks in a module `doctor`, which the command imports:

from event_stream import doctor

doctor.register("stock", check_stock)     # a function that yields `doctor.ok(...)`, `doctor.failed(...)`
"""

from event_stream.doctor import bindings, database
from event_stream.doctor.examination import (
    Check,
    Finding,
    Level,
    examine,
    failed,
    not_told,
    ok,
    register,
    registered,
    unknown,
    warning,
)

register("settings", bindings.check_settings)
register("database", database.check_database)
register("bindings", bindings.check_bindings)
register("dead letters", bindings.check_dead_letters)

__all__ = [
    "Check",
    "Finding",
    "Level",
    "examine",
    "failed",
    "not_told",
    "ok",
    "register",
    "registered",
    "unknown",
    "warning",
]
