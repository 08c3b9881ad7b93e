"""Each kind of change that would break a reader is found, and no other."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from event_stream.testing.schemas import breaks

RELEASED: dict[str, Any] = {
    "oneOf": [{"$ref": "#/$defs/change"}, {"$ref": "#/$defs/beat"}],
    "$defs": {
        "change": {
            "type": "object",
            "required": ["id", "count"],
            "properties": {
                "id": {"$ref": "#/$defs/id"},
                "count": {"type": "integer", "minimum": 1, "maximum": 9},
                "share": {"type": ["number", "null"]},
                "action": {"enum": ["MADE", "GONE"]},
                "name": {"type": "string", "minLength": 1, "maxLength": 10, "format": "email"},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                "closed": {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
                "parent": {"$ref": "#/$defs/change"},
            },
        },
        "beat": {"title": "a beat", "properties": {"action": {"const": "BEAT"}, "id": False}},
        "id": {"type": "string", "pattern": "^[a-z]+$"},
    },
}
CHANGE = ("$defs", "change")
PROPERTIES = (*CHANGE, "properties")


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The schema with this in the place of what is there; `...` takes it away."""
    schema = copy.deepcopy(RELEASED)
    inner = schema
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return schema


def test_no_change_breaks_nothing() -> None:
    assert breaks(RELEASED, RELEASED) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*PROPERTIES, "more"), {"type": "string"}),
        ((*CHANGE, "required"), ["id", "count", "name"]),
        ((*PROPERTIES, "action", "enum"), ["MADE", "GONE", "MOVED"]),
        ((*PROPERTIES, "share", "type"), "number"),
        ((*PROPERTIES, "share", "type"), ["integer", "null"]),
        ((*PROPERTIES, "count", "minimum"), 2),
        ((*PROPERTIES, "name", "maxLength"), 5),
        ((*PROPERTIES, "name", "pattern"), "^a"),
        ((*CHANGE, "description"), "other words"),
        (("oneOf",), [{"$ref": "#/$defs/beat"}, {"$ref": "#/$defs/change"}]),
        ((*PROPERTIES, "id"), {"type": "string", "pattern": "^[a-z]+$"}),
        ((*CHANGE, "additionalProperties"), False),
    ],
)
def test_what_a_reader_can_live_with(path: tuple[str, ...], value: Any) -> None:
    assert breaks(RELEASED, changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ((*CHANGE, "required"), ["id"], "message<#/$defs/change>.count: is no longer required"),
        ((*PROPERTIES, "name"), ..., ".name: is taken away"),
        ((*PROPERTIES, "name"), True, ".name: was described, is anything"),
        ((*PROPERTIES, "name"), False, ".name: was described, is never there"),
        ((*PROPERTIES, "count", "type"), "string", ".count: was integer, is string"),
        ((*PROPERTIES, "count", "type"), ["integer", "null"], ".count: was integer, is integer or null"),
        ((*PROPERTIES, "count", "type"), "number", ".count: was integer, is number"),
        ((*PROPERTIES, "count", "type"), ..., ".count: was integer, is anything"),
        ((*PROPERTIES, "count", "minimum"), 0, ".count: minimum was 1, is 0"),
        ((*PROPERTIES, "count", "minimum"), ..., ".count: minimum was 1, is not there"),
        ((*PROPERTIES, "count", "maximum"), 10, ".count: maximum was 9, is 10"),
        ((*PROPERTIES, "name", "minLength"), 0, ".name: minLength was 1, is 0"),
        ((*PROPERTIES, "name", "maxLength"), 11, ".name: maxLength was 10, is 11"),
        ((*PROPERTIES, "name", "format"), "uri", ".name: format was 'email', is 'uri'"),
        (("$defs", "id", "pattern"), "^.*$", ".id: pattern was '^[a-z]+$', is '^.*$'"),
        ((*PROPERTIES, "action", "enum"), ["MADE", "MOVED"], ".action: 'GONE' no longer comes"),
        ((*PROPERTIES, "action"), {"type": "string"}, ".action: was one of ['MADE', 'GONE'], and may be anything"),
        ((*PROPERTIES, "action"), {"const": "MADE"}, ".action: 'GONE' no longer comes"),
        (("$defs", "beat", "properties", "action"), {"enum": ["BEAT", "X"]}, ".action: was always 'BEAT', and no lon"),
        (("$defs", "beat", "properties", "id"), {"type": "string"}, ".id: was never there, is described"),
        ((*PROPERTIES, "tags", "items"), {"type": "integer"}, ".tags[]: was string, is integer"),
        ((*PROPERTIES, "tags", "maxItems"), 4, ".tags: maxItems was 3, is 4"),
        ((*PROPERTIES, "closed", "properties"), {"a": {}, "b": {}}, ".closed.b: is new where no more keys were to co"),
        ((*PROPERTIES, "closed", "additionalProperties"), True, ".closed.*: was never there, is anything"),
        (("oneOf",), [{"$ref": "#/$defs/change"}], "message: the kind #/$defs/beat is taken away"),
        (
            ("oneOf",),
            [{"$ref": "#/$defs/change"}, {"$ref": "#/$defs/beat"}, {"title": "new"}],
            "message: the kind new is new",
        ),
        (("oneOf",), ..., "message: the kind #/$defs/beat is taken away"),
    ],
)
def test_what_would_break_a_reader(path: tuple[str, ...], value: Any, told: str) -> None:
    found = breaks(RELEASED, changed(path, value))
    assert any(told in line for line in found), found


@pytest.mark.parametrize("keyword", ["if", "patternProperties", "not", "allOf", "dependentRequired"])
def test_a_keyword_without_a_rule_is_not_passed_over(keyword: str) -> None:
    with pytest.raises(ValueError, match=f"no rule for {keyword}"):
        breaks(RELEASED, changed((*PROPERTIES, "name", keyword), {}))


def test_a_reference_to_elsewhere_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="leads out of the schema"):
        breaks(RELEASED, changed((*PROPERTIES, "name"), {"$ref": "other.json"}))


def test_a_place_that_refers_is_looked_at_wherever_it_is() -> None:
    released = {
        "properties": {"a": {"$ref": "#/$defs/id"}, "b": {"$ref": "#/$defs/id"}},
        "$defs": {"id": {"type": "string"}},
    }
    working = {"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
    assert breaks(released, working) == ["message.b: was string, is integer"]


def test_as_a_command(tmp_path: Path) -> None:
    released, working = tmp_path / "released.json", tmp_path / "working.json"
    released.write_text(json.dumps(RELEASED))
    for schema, code in ((RELEASED, 0), (changed((*CHANGE, "required"), []), 1)):
        working.write_text(json.dumps(schema))
        argv = [sys.executable, "-m", "event_stream.testing.schemas", str(released), str(working)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert done.stdout.endswith(f"would break a reader of {released}\n")
        assert ("is no longer required" in done.stdout) == bool(code)
