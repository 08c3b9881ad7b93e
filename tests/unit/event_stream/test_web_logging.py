"""Log lines: readable by a machine, in their transaction, and not to be forged."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest

from event_stream import user_context
from event_stream.errors import ConfigurationError
from service_kit.logging import EventJsonFormatter, EventPlainFormatter, logging_config, redacted

# What could end a line, close a string, or steer a terminal.
HOSTILE = 'x"}\n{"level": "CRITICAL"}\r\x1b[2K\x00\x85\u2028\u202e\ud800'


class Log:
    """A logger of its own behind one of the formatters."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter)
        # Not getLogger: one that nobody else has, so that nothing needs to be undone.
        self.logger = logging.Logger("demo.logger")  # noqa: LOG001
        self.logger.addHandler(handler)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def entry(self) -> dict[str, Any]:
        (line,) = self.text.splitlines()
        entry: dict[str, Any] = json.loads(line)
        return entry


@pytest.fixture
def json_log() -> Log:
    return Log(EventJsonFormatter(service="licensing"))


@pytest.fixture
def plain_log() -> Log:
    return Log(EventPlainFormatter(service="licensing"))


def test_a_line_names_its_event_and_its_transaction(json_log: Log) -> None:
    context = user_context.UserContext("order-17", "u1", "o1", "Bearer abc")

    with user_context.use(context):
        json_log.logger.info("eviction.applied", extra={"partition": 3, "ids": ["a"], "lag_ms": 1.5})

    timestamp = json_log.entry.pop("timestamp")
    assert json_log.entry == {
        "timestamp": timestamp,
        "level": "INFO",
        "logger": "demo.logger",
        "service": "licensing",
        "event": "eviction.applied",
        "correlation_id": "order-17",
        "user_id": "u1",
        "org_id": "o1",
        "partition": 3,
        "ids": ["a"],
        "lag_ms": 1.5,
    }


def test_the_time_is_utc_in_iso_8601_with_milliseconds(json_log: Log) -> None:
    record = json_log.logger.makeRecord("n", logging.INFO, "f", 1, "e", (), None)
    record.created, record.msecs = 1795460821.0071, 7.1

    json_log.logger.handle(record)

    assert json_log.entry["timestamp"] == "2026-11-23T19:07:01.007Z"


def test_outside_of_a_transaction_the_id_is_null_and_a_call_may_give_its_own(json_log: Log) -> None:
    json_log.logger.info("one")
    json_log.logger.info("two", extra={"correlation_id": "of-the-message"})

    one, two = map(json.loads, json_log.text.splitlines())
    assert one["correlation_id"] is None
    assert two["correlation_id"] == "of-the-message"


def test_json_can_not_be_broken_out_of(json_log: Log) -> None:
    json_log.logger.info("seen %s", HOSTILE, extra={"value": HOSTILE, "nested": [{"k": HOSTILE}]})

    assert json_log.text.isascii()
    assert json_log.text.count("\n") == 1
    assert json_log.entry["value"] == HOSTILE
    assert json_log.entry["level"] == "INFO"


def test_a_plain_line_stays_one_line(plain_log: Log) -> None:
    plain_log.logger.info("seen %s", HOSTILE.replace("\ud800", ""), extra={"value": "a\nb"})

    assert plain_log.text.count("\n") == 1
    assert "\x1b" not in plain_log.text
    assert "\\x1b[2K\\x00\\x85\\u2028\\u202e" in plain_log.text
    assert plain_log.text.rstrip().endswith("value=a\\nb")


def test_a_traceback_in_plain_can_not_pass_for_a_line(plain_log: Log) -> None:
    plain_log.logger.error("failed", exc_info=ValueError("wrong\n2026-11-23T00:00:00.000Z CRITICAL forged"))

    first, *others = plain_log.text.splitlines()
    assert "ERROR   licensing demo.logger failed" in first
    assert others
    assert all(line.startswith("    | ") for line in others)
    assert "    | 2026-11-23T00:00:00.000Z CRITICAL forged" in others


def test_a_traceback_in_json_is_one_value(json_log: Log) -> None:
    json_log.logger.error("failed", exc_info=ValueError("wrong"))

    assert json_log.entry["exc_info"].endswith("ValueError: wrong")


@pytest.mark.parametrize("formatter", [EventJsonFormatter, EventPlainFormatter])
@pytest.mark.parametrize(
    ("message", "extra"),
    [
        ("called with Authorization: Bearer tOpSeCrEt123", {}),
        ("called", {"authorization": "Bearer tOpSeCrEt123"}),
        ("called", {"headers": {"Authorization": "Basic tOpSeCrEt123"}}),
        ("called", {"Set-Cookie": "tOpSeCrEt123"}),
        ("called", {"context": user_context.UserContext(authorization="tOpSeCrEt123").message_headers()}),
        ("called", {"context": str(user_context.UserContext(authorization="tOpSeCrEt123"))}),
        ("can't reach postgresql://app:tOpSeCrEt123@host/db", {}),
    ],
)
def test_credentials_stay_out_of_the_log(
    formatter: type[EventJsonFormatter | EventPlainFormatter], message: str, extra: dict[str, Any]
) -> None:
    log = Log(formatter(service=""))

    with user_context.use(user_context.UserContext(authorization="Bearer tOpSeCrEt123")):
        log.logger.info(message, extra=extra)

    assert "tOpSeCrEt123" not in log.text
    assert "called" in log.text or "host/db" in log.text


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """dictConfig changes the process's loggers; pytest's own handlers are put back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("fmt", ["json", "plain"])
def test_the_configuration_is_one_that_logging_takes(fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logging_config("INFO", fmt, "licensing"))

    logging.getLogger("some.module").info("it.happened", extra={"n": 1})
    logging.getLogger("some.module").debug("unsaid")
    logging.getLogger("django.request").error("Service Unavailable: /x")

    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert "it.happened" in line
    assert line.startswith("{") == (fmt == "json")


@pytest.mark.parametrize(
    ("level", "fmt", "named"),
    [("LOUD", "json", "LOG_LEVEL"), ("info", "json", "LOG_LEVEL"), ("INFO", "xml", "LOG_FORMAT")],
)
def test_a_wrong_setting_is_named(level: str, fmt: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{named} is .*; it should be one of"):
        logging_config(level, fmt)


@pytest.mark.parametrize("formatter", [EventJsonFormatter, EventPlainFormatter])
@pytest.mark.parametrize(
    ("message", "extra"),
    [
        ("called", {"contact_name": "Zaphod"}),
        ("called", {"contactEmail": "Zaphod"}),
        ("called for zaphod.b+x@mail.example.org, no longer", {}),
        ("called", {"error": "{'contactName': 'Zaphod', 'x': 1}"}),
        ("called", {"error": '{"contactPhone": "Zaphod", "x": 1}'}),
        ("called", {"body": {"contactName": "Zaphod"}}),
        ("called", {"body": {"contactName": "O'Zaphod"}}),
        ("called", {"error": "cut off: {'contactName': 'Zaphod"}),
        ("called", {"error": 'cut off: {"contactName": "Zaphod'}),
        ("called", {"error": "contact_name='Zaphod' is no good"}),
        ("called", {"error": "DETAIL:  Failing row contains (7, Zaphod, (x), null)."}),
        ("called", {"error": "DETAIL:  Key (name)=(Zaphod) already exists."}),
        ("called", {"error": "Cookie: a=b; organization_session=Zaphod"}),
    ],
)
def test_contact_data_stays_out_of_the_log(
    formatter: type[EventJsonFormatter | EventPlainFormatter], message: str, extra: dict[str, Any]
) -> None:
    log = Log(formatter(service=""))

    log.logger.info(message, extra={**extra, "after": "it"})

    assert "zaphod" not in log.text.lower()
    assert "called" in log.text
    if formatter is EventJsonFormatter:
        assert log.entry["after"] == "it"


@pytest.mark.parametrize("number", ["+44 20 7946 0991", "+1 (555) 010-0100", "+15550100"])
def test_phone_numbers_stay_out_of_the_log(number: str) -> None:
    log = Log(EventJsonFormatter(service=""))

    log.logger.info("called", extra={"who": f"somebody at {number}, again", "offset": 15550100})

    assert log.entry["who"] == "somebody at [redacted], again"
    assert log.entry["offset"] == 15550100


# What the patterns look for, and the characters that they pass over on the way.
PIECES = [
    *("a", "a.", "a-", "é", "a_session", "_csrf=", "a@", "a@b.", "+1 ", "1 ", "(", ")", " ", "\\", '"', "'"),
    *("Bearer ", "basic a", "://", "://a:", "://a@", "Key (", "Key (a)=(", "Failing row contains ("),
    *("contact", "contactName", "contact_name=", 'contact_name="', "contactEmail': '"),
]


@pytest.mark.parametrize("end", ["@", "\\" * 100_000 + '"'])
def test_redaction_takes_linear_time(end: str) -> None:
    """What takes the square of the length, or worse, does not end within the time that a test has."""
    # The first marker of each pattern: without one, it is not looked for.
    markers = "Bearer ://a_session= Failing row Key ( contact @ + "
    for piece in PIECES:
        line = markers + piece * (250_000 // len(piece)) + end
        assert redacted(line).startswith("Bearer ://a_session= ")


@pytest.mark.parametrize("formatter", [EventJsonFormatter, EventPlainFormatter])
def test_a_text_of_any_length_is_cut(formatter: type[EventJsonFormatter | EventPlainFormatter]) -> None:
    log = Log(formatter(service=""))
    long = "a" * 250_000 + "@"

    log.logger.error(long, extra={"header": long}, exc_info=ValueError(long))

    assert len(log.text) < 30_000
    assert log.text.count("[242001 characters]") == 2
    assert "ValueError: aaa" in log.text


@pytest.mark.parametrize("formatter", [EventJsonFormatter, EventPlainFormatter])
@pytest.mark.parametrize("text", ["zaphod@example.org", 'contactName": "Zaphod', "Failing row contains (7,\nZaphod)"])
@pytest.mark.parametrize("place", [3_990, 4_000, 250_000 - 4_010])
def test_what_is_cut_is_redacted_too(
    formatter: type[EventJsonFormatter | EventPlainFormatter], text: str, place: int
) -> None:
    log = Log(formatter(service=""))

    log.logger.info("seen", extra={"header": f"{' ' * place}{text} {' ' * (250_000 - place)}"})

    assert "seen" in log.text
    assert "zaphod" not in log.text.lower()
    assert len(log.text) < 60_000
