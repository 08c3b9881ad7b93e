"""What a person has paused: partitions, or a whole binding. An app that keeps them calls `keep_pauses`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pauses:
    """The partitions of one binding that no worker is to read. `in` asks whether a partition is among them."""

    whole: bool = False
    """Every partition, those that are still to be made as well."""
    partitions: frozenset[int] = frozenset()

    def __contains__(self, partition: int) -> bool:
        return self.whole or partition in self.partitions

    def __bool__(self) -> bool:
        return self.whole or bool(self.partitions)

    def __str__(self) -> str:
        if self.whole:
            return "every partition"
        numbers = ", ".join(map(str, sorted(self.partitions)))
        return f"partition{'' if len(self.partitions) == 1 else 's'} {numbers or '(none)'}"


NO_PAUSES = Pauses()


def _nothing(_binding: str) -> Pauses:
    return NO_PAUSES


_source: Callable[[str], Pauses] = _nothing


def keep_pauses(source: Callable[[str], Pauses]) -> None:
    """Have `pauses_of` ask this function, which gets the name of a binding and raises nothing."""
    global _source  # noqa: PLW0603 - one for each process
    _source = source


def pauses_of(binding: str) -> Pauses:
    """What is paused of a binding now; nothing where nobody keeps pauses."""
    return _source(binding)


def pauses(partitions: Iterable[int | None]) -> Pauses:
    """Of partition numbers, where None stands for the whole binding."""
    numbers = set(partitions)
    return Pauses(None in numbers, frozenset(number for number in numbers if number is not None))
