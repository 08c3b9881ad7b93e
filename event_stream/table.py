"""Reads a nested dict of settings, and remembers every mistake with the path of its key."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Mistake:
    """`path` as one would write it in Python; `text` says what it is and what it should be."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


@dataclass(slots=True)
class Table:
    """One dict of the setting. What is asked for is known; `finish` reports the rest."""

    path: str
    values: Mapping[str, Any]
    mistakes: list[Mistake]
    known: set[str] = field(default_factory=set)
    told: bool = False
    """It is no dict, which has been said: that its keys are missing then follows."""

    def text(self, key: str, *, default: str | None = None, required: bool = False) -> str:
        """A non-empty string; "" where it is wrong or absent, so that reading can go on."""
        value = self._take(key, default, required=required, should_be="a non-empty string")
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, f"is {value!r}; it should be a non-empty string")
            return ""
        return value

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        value = self._take(key, default)
        if value not in choices:
            self.wrong(key, f"is {value!r}; it should be one of {', '.join(map(repr, choices))}")
            return default
        return str(value)

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.wrong(key, f"is {value!r}; it should be a whole number from {minimum} to {maximum}")
            return default
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            self.wrong(key, f"is {value!r}; it should be True or False")
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of non-empty strings; none where it is wrong or absent."""
        value = self._take(key, ())
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
            self.wrong(key, f"is {value!r}; it should be a list of non-empty strings")
            return ()
        return tuple(value)

    def table(self, key: str, *, required: bool = False) -> "Table":
        """A dict with string keys; an empty one where it is wrong or absent."""
        value = self._take(key, {}, required=required, should_be="a dict")
        return _table(f"{self.path}[{key!r}]", {} if value is None else value, self.mistakes)

    def tables(self) -> "dict[str, Table]":
        """Every entry, each of which should be a dict."""
        return {key: self.table(key) for key in self.values}

    def rest(self) -> Mapping[str, Any]:
        """What nobody has asked for, for somebody else to check."""
        others = {key: value for key, value in self.values.items() if key not in self.known}
        self.known.update(others)
        return others

    def finish(self) -> None:
        for key in self.values:
            if key not in self.known:
                self.wrong(key, f"is not known here; known are {', '.join(map(repr, sorted(self.known)))}")

    def wrong(self, key: str, text: str) -> None:
        self.mistakes.append(Mistake(f"{self.path}[{key!r}]", text))

    def _take(self, key: str, default: Any, *, required: bool = False, should_be: str = "") -> Any:
        self.known.add(key)
        if required and not self.told and self.values.get(key) is None:
            self.wrong(key, f"is missing; it should be {should_be}")
        return self.values.get(key, default)


def root(name: str, value: object, mistakes: list[Mistake]) -> Table:
    """The setting itself."""
    return _table(name, value, mistakes)


def _table(path: str, value: object, mistakes: list[Mistake]) -> Table:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return Table(path, value, mistakes)
    mistakes.append(Mistake(path, f"is {value!r}; it should be a dict with strings as keys"))
    return Table(path, {}, mistakes, told=True)
