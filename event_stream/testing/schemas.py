"""Whether a changed JSON Schema of a message still serves those who read by the last released one.

    breaks(released, working) == []

or, in a build that has no tests: `python -m event_stream.testing.schemas RELEASED.json WORKING.json`, exit code 1 where
something would break. It is our own because the libraries there are compare sets: to them a new key, or a new value of
an enumeration, is as bad as one that is taken away. Here a consumer passes over keys and values that it does not know.

The rules, for each place of the schema: nothing that was required, or was there, is taken away; a type, a range, a
pattern is kept or made narrower; an enumeration only grows; a constant, which tells kinds of messages apart, stays; no
kind of message (a branch of oneOf or anyOf) comes or goes. This module needs no pytest.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any] | bool

_LOWER_BOUNDS = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER_BOUNDS = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_KEPT = {"pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType"}
_KINDS = {"oneOf", "anyOf"}
_SAYS_NOTHING = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default", "deprecated"}
_STRUCTURE = {"type", "required", "properties", "additionalProperties", "items", "enum", "const"}
_KNOWN = _LOWER_BOUNDS | _UPPER_BOUNDS | _KEPT | _KINDS | _SAYS_NOTHING | _STRUCTURE


def breaks(released: Schema, working: Schema) -> list[str]:
    """One line for each thing that a consumer of `released` could stumble over, with its place; none: compatible.

    Raises ValueError for a keyword that there is no rule for, and for a reference that leads out of the schema.
    """
    return list(_Comparison(released, working).of("message", released, working))


class _Comparison:
    def __init__(self, released: Schema, working: Schema) -> None:
        self._roots = (released, working)
        self._seen: set[tuple[str | None, str | None]] = set()
        """Pairs of references; a schema may refer to itself."""

    def of(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        references = _reference(old), _reference(new)
        if references in self._seen:
            return
        if None not in references:
            self._seen.add(references)
        old, new = self._resolved(old, 0), self._resolved(new, 1)
        if old is True or old == {}:
            return
        if isinstance(old, bool) or isinstance(new, bool):
            if old != new:
                yield f"{place}: was {_words(old)}, is {_words(new)}"
            return
        for rule in (_types, _bounds, _kept, _values, self._keys, self._items, self._kinds):
            yield from rule(place, old, new)

    def _resolved(self, schema: Schema, side: int) -> Schema:
        reference = _reference(schema)
        if isinstance(schema, bool):
            return schema
        if reference is not None:
            found: Any = self._roots[side]
            if not reference.startswith("#/"):
                raise ValueError(f"{reference} leads out of the schema")
            for step in reference[2:].split("/"):
                found = found[step]
            found = self._resolved(found, side)
            if isinstance(found, bool):
                return found
            schema = {**found, **{name: value for name, value in schema.items() if name != "$ref"}}
        if unknown := schema.keys() - _KNOWN:
            raise ValueError(f"there is no rule for {', '.join(sorted(unknown))}")
        return schema

    def _keys(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        for key in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
            yield f"{place}.{key}: is no longer required"
        before, after = old.get("properties", {}), new.get("properties", {})
        for key in before:
            if key in after:
                yield from self.of(f"{place}.{key}", before[key], after[key])
            elif before[key] is not False:
                yield f"{place}.{key}: is taken away"
        others_before, others_after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if others_before is False:
            for key in sorted(after.keys() - before.keys()):
                yield f"{place}.{key}: is new where no more keys were to come"
        yield from self.of(f"{place}.*", others_before, others_after)

    def _items(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        yield from self.of(f"{place}[]", old.get("items", True), new.get("items", True))

    def _kinds(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        for keyword in sorted(_KINDS & (old.keys() | new.keys())):
            if keyword not in old:
                continue
            before, after = ({_name(each): each for each in side.get(keyword, ())} for side in (old, new))
            for name in sorted(before.keys() ^ after.keys()):
                yield f"{place}: the kind {name} {'is taken away' if name in before else 'is new'}"
            for name in before.keys() & after.keys():
                yield from self.of(f"{place}<{name}>", before[name], after[name])


def _types(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = _types_in(old), _types_in(new)
    if before and not (after and after <= before | ({"integer"} if "number" in before else set())):
        yield f"{place}: was {_either(before)}, is {_either(after)}"


def _types_in(schema: Mapping[str, Any]) -> set[str]:
    """Empty where nothing is said of it."""
    given = schema.get("type", [])
    return {given} if isinstance(given, str) else set(given)


def _bounds(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    wider: list[tuple[set[str], Callable[[float, float], bool]]] = [
        (_LOWER_BOUNDS, lambda before, after: after < before),
        (_UPPER_BOUNDS, lambda before, after: after > before),
    ]
    for keywords, is_wider in wider:
        for keyword in sorted(keywords & old.keys()):
            if keyword not in new or is_wider(old[keyword], new[keyword]):
                yield f"{place}: {keyword} was {old[keyword]}, is {new.get(keyword, 'not there')}"


def _kept(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for keyword in sorted(_KEPT & old.keys()):
        if new.get(keyword) != old[keyword]:
            yield f"{place}: {keyword} was {old[keyword]!r}, is {new.get(keyword, 'not there')!r}"


def _values(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if "const" in old and (("const" not in new) or new["const"] != old["const"]):
        yield f"{place}: was always {old['const']!r}, and no longer is"
    if "enum" in old:
        after = [new["const"]] if "const" in new else new.get("enum")
        if after is None:
            yield f"{place}: was one of {old['enum']}, and may be anything"
        elif gone := [value for value in old["enum"] if value not in after]:
            yield f"{place}: {', '.join(map(repr, gone))} no longer comes"


def _reference(schema: Schema) -> str | None:
    return None if isinstance(schema, bool) else schema.get("$ref")


def _name(branch: Schema) -> str:
    """What a kind of message is known by, whatever its place among the others."""
    if isinstance(branch, bool):
        return str(branch)
    return str(branch.get("$ref") or branch.get("title") or json.dumps(branch, sort_keys=True))


def _either(types: set[str]) -> str:
    return " or ".join(sorted(types)) or "anything"


def _words(schema: Schema) -> str:
    return {True: "anything", False: "never there"}[schema] if isinstance(schema, bool) else "described"


def main(released: str, working: str) -> int:
    found = breaks(json.loads(Path(released).read_text()), json.loads(Path(working).read_text()))
    for line in found:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"{len(found)} changes would break a reader of {released}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
