"""The setting EVENT_STREAM: every mistake is told with the path of its key and what it should be."""

import copy
import subprocess
import sys
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from event_stream import Channel, ConfigurationError, Message, source
from event_stream.conf import BinderSettings, Binding, ConsumerSettings, configuration, parse
from event_stream.messaging.channel import registry

HEARTBEAT = f"{__name__}.heartbeat"


def heartbeat(as_of_us: int) -> dict[str, int]:
    return {"asOf": as_of_us}


GOOD: dict[str, Any] = {
    "default_binder": "kafka",
    "binders": {
        "kafka": {"type": "kafka", "bootstrap_servers": ["localhost:9092"]},
        "memory": {"type": "memory"},
    },
    "bindings": {
        "out": {"destination": "orgChangeTopic", "producer": {"heartbeat": HEARTBEAT}},
        "in": {"destination": "orgChangeTopic", "group": "licensingGroup", "consumer": {"batch_size": 50}},
    },
}


def with_change(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    setting = copy.deepcopy(GOOD)
    table = setting
    for key in path[:-1]:
        table = table.setdefault(key, {})
    if value is ...:
        del table[path[-1]]
    else:
        table[path[-1]] = value
    return setting


def mistakes_of(setting: Any) -> list[str]:
    return [str(mistake) for mistake in parse(setting)[1]]


def test_reads_a_good_setting_into_typed_values() -> None:
    result, mistakes = parse(GOOD)
    assert mistakes == []
    assert result.binders["kafka"] == BinderSettings("kafka", "kafka", {"bootstrap_servers": ["localhost:9092"]})
    assert result.binding("in") == Binding(
        "in", "orgChangeTopic", "kafka", group="licensingGroup", consumer=ConsumerSettings(batch_size=50)
    )
    assert result.binding("out").content_type == "application/json"
    assert result.binding("out").producer.heartbeat == HEARTBEAT


def test_needs_no_default_binder_where_there_is_one_binder() -> None:
    setting = {"binders": {"memory": {"type": "memory"}}, "bindings": {"x": {"destination": "d"}}}
    result, mistakes = parse(setting)
    assert mistakes == []
    assert result.binding("x").binder == "memory"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("extra",), 1, "EVENT_STREAM['extra'] is not known here; known are 'binders', 'bindings', 'default_binder'"),
        (("default_binder",), "no", "EVENT_STREAM['default_binder'] is 'no'; it should be one of 'kafka', 'memory'"),
        (("default_binder",), 5, "EVENT_STREAM['default_binder'] is 5; it should be a non-empty string"),
        (("binders",), ..., "EVENT_STREAM['binders'] is missing; it should be a dict"),
        (("binders", "kafka"), "kafka", "EVENT_STREAM['binders']['kafka'] is 'kafka'; it should be a dict"),
        (("binders", "kafka", "type"), ..., "EVENT_STREAM['binders']['kafka']['type'] is missing; it should be a non-"),
        (("bindings",), [], "EVENT_STREAM['bindings'] is []; it should be a dict"),
        (("bindings", "in", "destination"), ..., "EVENT_STREAM['bindings']['in']['destination'] is missing"),
        (("bindings", "in", "destination"), " ", "['in']['destination'] is ' '; it should be a non-empty string"),
        (("bindings", "in", "group"), ..., "EVENT_STREAM['bindings']['in']['group'] is missing; a binding that cons"),
        (("bindings", "in", "binder"), "rabbit", "['in']['binder'] is 'rabbit'; it should be one of 'kafka', 'memory'"),
        (("bindings", "in", "header_format"), "java", "is 'java'; it should be one of 'spring', 'plain'"),
        (("bindings", "in", "bach_size"), 1, "EVENT_STREAM['bindings']['in']['bach_size'] is not known here"),
        (("bindings", "in", "consumer", "batch_size"), 0, "['batch_size'] is 0; it should be a whole number from 1 to"),
        (("bindings", "in", "consumer", "batch_size"), "5", "['batch_size'] is '5'; it should be a whole number"),
        (("bindings", "in", "consumer", "batch_size"), True, "['batch_size'] is True; it should be a whole number"),
        (("bindings", "in", "consumer", "poll_timeout_ms"), 501, "is 501; it should be a whole number from 1 to 500"),
        (("bindings", "in", "consumer", "retry_max_ms"), 5, "['retry_max_ms'] is 5; it should be at least retry_init"),
        (("bindings", "in", "consumer", "who"), 5, "['in']['consumer']['who'] is not known here; known are 'batch_si"),
        (("bindings", "in", "consumer", "retry_attempts"), 0, "['retry_attempts'] is 0; it should be a whole number"),
        (("bindings", "in", "consumer", "retry_permanent"), "KeyError", "'KeyError'; it should be a list of non-empty"),
        (("bindings", "in", "consumer", "dead_letters"), 1, "['dead_letters'] is 1; it should be True or False"),
        (("bindings", "in", "consumer", "dead_letter_limit"), 0, "['dead_letter_limit'] is 0; it should be a whole"),
        (("bindings", "out", "producer", "heartbeat"), "beat", "is 'beat'; it should be the dotted path of a function"),
        (
            ("bindings", "out", "producer", "fallback_message"),
            "bare",
            "is 'bare'; it should be the dotted path of a function",
        ),
        (("bindings", "out", "producer", "interceptors"), "a.b", "is 'a.b'; it should be a list of non-empty strings"),
    ],
)
def test_tells_a_mistake_with_its_path(path: tuple[str, ...], value: Any, told: str) -> None:
    [mistake] = mistakes_of(with_change(path, value))
    assert told in mistake


@pytest.mark.parametrize("setting", [None, "kafka", 5, {1: 2}])
def test_says_so_when_it_is_no_dict_at_all(setting: Any) -> None:
    assert mistakes_of(setting) == [f"EVENT_STREAM is {setting!r}; it should be a dict with strings as keys"]


def test_tells_all_mistakes_at_once() -> None:
    setting = with_change(("bindings", "in"), {"destination": 1, "consumer": {"batch_size": -1, "x": 1}})
    told = mistakes_of(setting)
    assert len(told) == 4
    for key in ("destination", "group", "batch_size", "x"):
        assert any(f"['{key}']" in each for each in told)


@pytest.mark.parametrize(
    ("path", "value", "told", "number"),
    [
        (("bindings",), ..., "EVENT_STREAM['bindings'] is missing", "E001"),
        (("binders", "kafka", "type"), "nats", "EVENT_STREAM['binders']['kafka']['type'] is 'nats'; it should", "E002"),
        (("binders", "kafka", "bootstrap_servers"), ["x"], "['bootstrap_servers'] is ['x']; it should be a li", "E002"),
        (
            ("binders", "kafka", "acks"),
            1,
            "EVENT_STREAM['binders']['kafka']['acks'] can't be set; it is always",
            "E002",
        ),
        (("binders", "kafka", "akcs"), 1, "EVENT_STREAM['binders']['kafka']['akcs'] is not a setting of", "E002"),
        (("binders", "memory", "partitions"), 0, "['memory']['partitions'] is 0; it should be a whole number", "E002"),
        (("bindings", "in", "destination"), "a b", "EVENT_STREAM['bindings']['in']['destination'] is 'a b'", "E003"),
        (
            ("bindings", "in", "consumer", "properties"),
            {"session_timeout_ms": 100},
            "['in']['consumer']['properties']['heartbeat_interval_ms'] is 500; it should be below session_timeout_ms",
            "E003",
        ),
        (
            ("bindings", "in", "consumer", "properties"),
            {"max_poll_interval_ms": 1000},
            "['session_timeout_ms'] is 6000; it should be below max_poll_interval_ms (1000)",
            "E003",
        ),
        (
            ("bindings", "in", "consumer", "properties"),
            {"enable_auto_commit": True},
            "['properties']['enable_auto_commit'] can't be set; it is always off",
            "E003",
        ),
        (
            ("bindings", "in", "consumer"),
            {"dead_letters": True, "properties": {"max_poll_interval_ms": 11_000}},
            "['max_poll_interval_ms'] is 11000; it should be above 12000, the max_block_ms and delivery_timeout_ms",
            "E003",
        ),
        (
            ("bindings", "in", "consumer"),
            {"retry_permanent": ["no.such.Error"]},
            "['in']['consumer']['retry_permanent'] has 'no.such.Error'; it should be the dotted path of a class of",
            "E004",
        ),
        (("bindings", "in", "consumer"), {"retry_permanent": ["len"]}, "has 'len'; it should be the dotted", "E004"),
        (
            ("bindings", "out", "producer", "interceptors"),
            ["no.such"],
            "EVENT_STREAM['bindings']['out']['producer']['interceptors'] has 'no.such'; it should be the dotted",
            "E005",
        ),
        (
            ("bindings", "out", "producer", "heartbeat"),
            "no.such",
            "EVENT_STREAM['bindings']['out']['producer']['heartbeat'] is 'no.such'; it should be the dotted path of a "
            "function of as_of_us (No module named 'no')",
            "E006",
        ),
        (
            ("bindings", "out", "producer", "fallback_message"),
            f"{__name__}.GOOD",
            f"EVENT_STREAM['bindings']['out']['producer']['fallback_message'] is '{__name__}.GOOD'; it should be the",
            "E006",
        ),
        (
            ("bindings", "out", "producer", "properties"),
            {"delivery_timeout_ms": 1},
            "['request_timeout_ms'] is 5000; it should be below delivery_timeout_ms (1)",
            "E003",
        ),
    ],
)
def test_is_checked_by_django(settings: Settings, path: tuple[str, ...], value: Any, told: str, number: str) -> None:
    settings.EVENT_STREAM = with_change(path, value)
    errors = [error for error in checks.run_checks() if (error.id or "").startswith("event_stream.E")]
    assert [error.id for error in errors] == [f"event_stream.{number}"]
    assert told in errors[0].msg


def test_passes_djangos_checks_when_it_is_good(settings: Settings) -> None:
    settings.EVENT_STREAM = GOOD
    assert [error for error in checks.run_checks() if (error.id or "").startswith("event_stream.E")] == []


def test_a_wrong_setting_fails_at_first_use(settings: Settings) -> None:
    settings.EVENT_STREAM = with_change(("bindings", "out", "destination"), ...)
    with pytest.raises(ConfigurationError, match=r"EVENT_STREAM\['bindings'\]\['out'\]\['destination'\] is missing"):
        source("out").send(Message({}))


def test_an_unknown_binding_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"EVENT_STREAM\['bindings'\] has no 'x'; it has '"):
        registry().channel("x")


def test_a_binding_without_a_group_can_not_consume(settings: Settings) -> None:
    settings.EVENT_STREAM = GOOD
    channel: Channel = registry().channel("out")
    with pytest.raises(ConfigurationError, match=r"\['out'\]\['group'\] is missing"):
        channel.subscribe(None)  # type: ignore[arg-type]


def test_a_wrong_setting_is_what_django_calls_improperly_configured() -> None:
    assert issubclass(ConfigurationError, ImproperlyConfigured)


def test_a_changed_setting_takes_effect(settings: Settings) -> None:
    settings.EVENT_STREAM = GOOD
    assert configuration().binding("in").consumer.batch_size == 50
    settings.EVENT_STREAM = with_change(("bindings", "in", "consumer", "batch_size"), 51)
    assert configuration().binding("in").consumer.batch_size == 51


def test_importing_the_package_needs_no_settings_and_no_platform() -> None:
    code = "import sys, event_stream; assert 'kafka' not in sys.modules; event_stream.source('out')"
    subprocess.run([sys.executable, "-c", code], check=True, env={})
