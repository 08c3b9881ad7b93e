"""The log events of the product, as its code has them: names, levels, and the fields that can be read off the calls."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from devstack.environment import ROOT

PACKAGES = ("event_stream", "service_kit", "org_project", "licensing_project", "deploy", "examples")
_LEVELS = {"debug", "info", "warning", "error", "critical"}
_EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")


@dataclass(slots=True)
class Event:
    """`fields` are those of all calls together; one that only some calls have is among them."""

    name: str
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    """Where a field's name can't be read off: file and line."""


def events() -> dict[str, Event]:
    found: dict[str, Event] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "/migrations/" not in str(path) and "/testing/" not in str(path):
                for event in _Module(path).events():
                    kept = found.setdefault(event.name, Event(event.name))
                    kept.levels |= event.levels
                    kept.fields |= event.fields
                    kept.unread |= event.unread
    return dict(sorted(found.items()))


class _Module:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._tree = ast.parse(path.read_text())
        self._functions = {node.name: node for node in ast.walk(self._tree) if isinstance(node, ast.FunctionDef)}
        self._constants: dict[str, ast.expr] = {}
        self._defaults: dict[str, list[ast.expr]] = {}
        """What parameters of this name have where they are left out, or are given by a keyword."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef):
                pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                for argument, default in pairs:
                    if default is not None:
                        self._defaults.setdefault(argument.arg, []).append(default)
            elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant) and node.arg:
                self._defaults.setdefault(node.arg, []).append(node.value)
        for node in self._tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self._constants[target.id] = node.value
                    elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                        names = [name.id for name in target.elts if isinstance(name, ast.Name)]
                        self._constants |= dict(zip(names, node.value.elts, strict=True))

    def events(self) -> Iterator[Event]:
        for scope in [self._tree, *ast.walk(self._tree)]:
            if isinstance(scope, ast.Module | ast.FunctionDef):
                for call in _own_calls(scope):
                    yield from self._of_call(call, scope)

    def _of_call(self, call: ast.Call, scope: ast.AST) -> Iterator[Event]:
        given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if "began" in given and "ended" in given:
            level = self._level(given["level"], scope) if "level" in given else {"WARNING"}
            own, unread = self._fields(given["fields"], scope) if "fields" in given else (set(), set())
            cause = set(self._texts(given["cause_field"], scope)) if "cause_field" in given else {"cause"}
            for name in self._texts(given["began"], scope):
                yield Event(name, level, own | cause | {"error"}, unread)
            for name in self._texts(given["ended"], scope):
                yield Event(name, {"INFO"}, own | cause | {"outage_s", "failures"}, unread)
        elif method in _LEVELS | {"exception", "log"} and len(call.args) > (method == "log"):
            leveled = method == "log"
            names = self._texts(call.args[1 if leveled else 0], scope)
            level = (
                self._level(call.args[0], scope) if leveled else {"ERROR" if method == "exception" else method.upper()}
            )
            extra = given.get("extra")
            fields, unread = (set(), set()) if extra is None else self._fields(extra, scope)
            for name in names:
                if _EVENT.fullmatch(name):
                    yield Event(name, level, fields, unread)

    def _texts(self, node: ast.expr, scope: ast.AST) -> list[str]:
        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.Name(id=name):
                constants = [self._constants[name]] if name in self._constants else []
                values = constants or self._defaults.get(name) or _assigned(scope, name)
                return [text for value in values for text in self._texts(value, scope)]
            case ast.Subscript(value=ast.Name(id=name)) if isinstance(self._constants.get(name), ast.Dict):
                table = self._constants[name]
                assert isinstance(table, ast.Dict)
                return [text for value in table.values for text in self._texts(value, scope)]
            case ast.IfExp(body=body, orelse=orelse):
                return self._texts(body, scope) + self._texts(orelse, scope)
        return []

    def _level(self, node: ast.expr, scope: ast.AST) -> set[str]:
        match node:
            case ast.Attribute(value=ast.Name(id="logging"), attr=name):
                return {name}
            case ast.IfExp(body=body, orelse=orelse):
                return self._level(body, scope) | self._level(orelse, scope)
            case ast.Name(id=name):
                return {level for value in _assigned(scope, name) for level in self._level(value, scope)}
        return set()

    def _fields(self, node: ast.expr, scope: ast.AST) -> tuple[set[str], set[str]]:
        match node:
            case ast.Dict(keys=keys, values=values):
                found, unread = set(), set()
                for key, value in zip(keys, values, strict=True):
                    if key is None:
                        more, missing = self._fields(value, scope)
                        found |= more
                        unread |= missing
                    else:
                        names = self._texts(key, scope)
                        found |= set(names)
                        unread |= set() if names else {self._place(key)}
                return found, unread
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                one, two = self._fields(left, scope), self._fields(right, scope)
                return one[0] | two[0], one[1] | two[1]
            case ast.Name(id=name):
                values = _assigned(scope, name) or [value for value in [self._constants.get(name)] if value is not None]
                pairs = [self._fields(value, scope) for value in values]
                if pairs:
                    return set().union(*(pair[0] for pair in pairs)), set().union(*(pair[1] for pair in pairs))
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                function = self._functions[name]
                returned = [one.value for one in ast.walk(function) if isinstance(one, ast.Return) and one.value]
                pairs = [self._fields(value, function) for value in returned]
                return set().union(*(pair[0] for pair in pairs)), set().union(*(pair[1] for pair in pairs))
        return set(), {self._place(node)}

    def _place(self, node: ast.expr) -> str:
        return f"{self._path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


def _own_calls(scope: ast.AST) -> Iterator[ast.Call]:
    """Those that are in no function below this one."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += ast.iter_child_nodes(node)


def _assigned(scope: ast.AST, name: str) -> list[ast.expr]:
    """What a function gives a local of this name, as far as it says."""
    found: list[ast.expr] = []
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            found.append(node.value)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            pairs = zip(node.targets[0].elts, node.value.elts, strict=True)
            found += [value for target, value in pairs if isinstance(target, ast.Name) and target.id == name]
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Tuple) and isinstance(node.iter, ast.Tuple):
            names = [one.id if isinstance(one, ast.Name) else "" for one in node.target.elts]
            if name in names:
                rows = [row for row in node.iter.elts if isinstance(row, ast.Tuple)]
                found += [row.elts[names.index(name)] for row in rows]
    return found


def row(event: Event) -> str:
    """The event's line in docs/logs.md."""
    fields = ", ".join(f"`{name}`" for name in sorted(event.fields))
    return f"| `{event.name}` | {', '.join(sorted(event.levels))} | {fields} |"


if __name__ == "__main__":
    # The table of events, to be pasted: `python -m tests.unit.deploy.log_events`.
    sys.stdout.write("".join(f"{row(event)}\n" for event in events().values()))
