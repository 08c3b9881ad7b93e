"""Structured logging with the correlation id of the transaction, and redaction of secrets and contact data.

A log call names an event and passes its values separately: `logger.info("eviction.applied", extra={"partition": 3})`.
There are two formats. "json" writes one object per line (timestamp, level, logger, service, event, correlation_id,
user_id, org_id, then the call's own values); "plain" is for a terminal.
"""

import json
import logging
import logging.config
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from event_stream import user_context
from event_stream.database_faults import database_fault
from event_stream.errors import ConfigurationError
from event_stream.terminal import CONTROL_CODES

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("json", "plain")

# Django passes the request object itself to its log calls; the other fields say enough about it.
_NOT_LOGGED = frozenset(RESERVED_ATTRS) | {"request", "taskName"}
_CONTROLS = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in CONTROL_CODES} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


# A log line must not contain credentials, nor contact data of the people that it is about.

REDACTED = "[redacted]"

SECRET_NAMES = frozenset(
    {
        *("authorization", "proxy_authorization", "cookie", "set_cookie", "password", "secret", "token"),
        *("contact_name", "contact_email", "contact_phone", "contactname", "contactemail", "contactphone"),
        *("email", "phone"),
    }
)
"""The names of values that are never logged, in lower case with underscores."""

# Stays inside a JSON string.
_TEXT = r'(?:[^"\\\n]++|\\.)*+'
# The backslashes before a quote that is escaped four times, as JSON within JSON is.
_ESCAPES = r"\\{0,15}"


def _credentials(match: re.Match[str]) -> str:
    return f"{match[1]} {REDACTED}" if match[1] else f"{match[2]}:{REDACTED}@"


def _refused_values(match: re.Match[str]) -> str:
    before, values = match.groups()
    _, closing, after = values.rpartition(")")
    # Without its end, all that follows may be values.
    return f"{before}({REDACTED})" + (after if closing and "(" not in after else "")


_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (
        ("earer ", "EARER ", "asic ", "ASIC ", "://"),
        re.compile(r"\b([Bb]earer|[Bb]asic|BEARER|BASIC) +[A-Za-z0-9._~+/=-]{8,}|(?<=://)([^\s:/@]*):[^\s/@]+@"),
        _credentials,
    ),
    (
        ("_session=", "_csrf="),
        re.compile(r"\b(\w+_(?:session|csrf))=[^\s;,\"\\]+"),
        lambda match: f"{match[1]}={REDACTED}",
    ),
    (
        # PostgreSQL's errors list the refused values.
        ("Failing row", "Key ("),
        re.compile(rf"(Failing row contains |Key \([\w, ]+\)=)\(({_TEXT})"),
        _refused_values,
    ),
    (
        ("ontact",),
        # Up to the same quote, however often it is escaped, but never beyond the end of the enclosing string.
        re.compile(
            rf"""(contact_?(?:name|email|phone)(?:{_ESCAPES}["'])?\s*[:=]\s*({_ESCAPES}["']))(?:(?!\2)(?:[^"\\\n]|\\.))*""",
            re.IGNORECASE,
        ),
        lambda match: f"{match[1]}{REDACTED}",
    ),
    # Begins where a word does: a search from each of its letters would take the square of its length.
    (("@",), re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), lambda _found: REDACTED),
    # Only with a plus; otherwise it may be any number.
    (("+",), re.compile(r"\+\d[\d ()-]{5,}\d"), lambda _found: REDACTED),
)
"""Markers (a pattern can match only where one of them occurs), the pattern, and its replacement.

A line may hold a text of any length from outside: each pattern takes a time that grows as the line does.
"""


def logging_config(level: str, fmt: str, service: str = "") -> dict[str, Any]:
    """Return the value of LOGGING (and of gunicorn's `logconfig_dict`): one handler, on stderr, for everything.

    Every line contains `service`. Raises ConfigurationError for an unknown level or format.
    """
    if level not in LEVELS:
        raise ConfigurationError(f"LOG_LEVEL is {level!r}; it should be one of {', '.join(LEVELS)}")
    if fmt not in FORMATS:
        raise ConfigurationError(f"LOG_FORMAT is {fmt!r}; it should be one of {', '.join(FORMATS)}")
    formatter = EventJsonFormatter if fmt == "json" else EventPlainFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"event": {"()": formatter, "service": service}},
        "filters": {"crashes": {"()": CrashFilter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "event"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            # Remove Django's own handlers (console, mail to the admins): one line per event is enough.
            "django": {"handlers": [], "level": "NOTSET", "propagate": True},
            "django.server": {"handlers": [], "level": "NOTSET", "propagate": True},
            # The access log has the status; only crashes with a traceback remain.
            "django.request": {"level": "ERROR", "filters": ["crashes"]},
            # The caller gets a 400; a traceback for each would let anybody fill the log.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # httpx logs one line per call at INFO.
            "httpx": {"level": "WARNING"},
            **_levels_of_libraries(level),
        },
    }


def set_level(level: str) -> None:
    """Log from this level on, in place of the one that `logging_config` was given. No line is lost meanwhile."""
    gunicorn = {"gunicorn.error": {"level": level}} if "gunicorn.error" in logging.Logger.manager.loggerDict else {}
    levels = {"root": {"level": level}, "loggers": {**_levels_of_libraries(level), **gunicorn}}
    logging.config.dictConfig({"version": 1, "incremental": True, **levels})


def _levels_of_libraries(level: str) -> dict[str, dict[str, str]]:
    """These log several lines a second during an outage, which the event layer logs once. Keep them at DEBUG."""
    own = "DEBUG" if level == "DEBUG" else "CRITICAL"
    return {name: {"level": own} for name in ("kafka", "pika", "opentelemetry")}


class EventJsonFormatter(JsonFormatter):
    """Writes one JSON object per line, in ASCII: no value can end the line or break out of its string."""

    def __init__(self, *, service: str = "") -> None:
        super().__init__()
        self._service = service

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["timestamp"] = _timestamp(record)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        if self._service:
            log_data["service"] = self._service
        log_data["event"] = record.message
        log_data.update(_context())
        log_data.update(_extra(record))
        log_data.update(message_dict)
        log_data.update({name: _shortened(value) for name, value in log_data.items() if isinstance(value, str)})

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class EventPlainFormatter(logging.Formatter):
    """Writes `time level logger event name=value …`, with control characters escaped, and tracebacks behind a bar."""

    def __init__(self, *, service: str = "") -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = _context() | _extra(record)
        event = _shortened(record.getMessage())
        parts = [_timestamp(record), f"{record.levelname:<7}", self._service, record.name, event]
        parts += [f"{name}={_shortened(str(value))}" for name, value in fields.items() if value is not None]
        line = " ".join(filter(None, parts)).translate(_CONTROLS)
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        for block in filter(None, (trace, record.stack_info)):
            # A message in the traceback may hold anything; behind the bar it can't look like a log line.
            line += "".join(f"\n    | {part.translate(_CONTROLS)}" for part in _shortened(block).split("\n"))
        return redacted(line)


class CrashFilter(logging.Filter):
    """Lets only records with a traceback pass, and none for a fault of the database, which has a line of its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return False
        return database_fault(record.exc_info[1]) is None


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _context() -> dict[str, Any]:
    context = user_context.current()
    if context is None:
        return {"correlation_id": None}
    fields = {"correlation_id": context.correlation_id}
    if context.user_id:
        fields["user_id"] = context.user_id
    if context.organization_id:
        fields["org_id"] = context.organization_id
    return fields


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """The `extra` of the call; it may name another correlation id than the current one (a batch of many)."""
    return {
        name: REDACTED if name.lower().replace("-", "_") in SECRET_NAMES else value
        for name, value in record.__dict__.items()
        if name not in _NOT_LOGGED
    }


_LONGEST = 8_000
"""A longer text, a message from outside for example, is cut in its middle."""


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    # As long as it is whole: half an address would not be recognized as one.
    text = json.loads(redacted(json.dumps(text)))
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}[{len(text) - 2 * half} characters]{text[-half:]}"


def redacted(line: str) -> str:
    """Redact credentials and contact data. A line of JSON stays valid."""
    for markers, pattern, replacement in _PATTERNS:
        # Searching for a pattern takes microseconds per line, for a text next to nothing.
        if any(marker in line for marker in markers):
            line = pattern.sub(replacement, line)
    return line
