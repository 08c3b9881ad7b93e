"""The figures of the last run of each fault, kept for the table in docs/guarantees.md.

    FAULT_ROUNDS=4 FAULT_CHANGES=1000 FAULT_OUTAGE_S=60 FUZZED_MESSAGES=10000 ./manage_scripts/test tests/faults
    python -m tests.faults.results

The second command writes the table of all that has been run into the document.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Self

from devstack.environment import LOCAL, ROOT
from tests.faults.oracle import Verdict

FILE = LOCAL / "faults.json"
DOCUMENT = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
_COLUMNS = (
    *("fault", "struck", "changes", "events in the log", "of them twice", "lost"),
    *("reads", "wrong", "stale", "refused"),
    *("control: lost", "reads", "wrong", "stale"),
)
_HEAD = f"\n| {' | '.join(_COLUMNS)} |\n|---{'|--:' * (len(_COLUMNS) - 1)}|\n"


@dataclass(frozen=True, slots=True)
class Row:
    """Of the table. `naive_` is the control's."""

    fault: str
    struck: int
    changes: int
    events: int
    duplicates: int
    lost: int
    reads: int
    wrong_reads: int
    stale: int
    unanswered: int
    naive_lost: int
    naive_reads: int
    naive_wrong_reads: int
    naive_stale: int

    @classmethod
    def of(cls, fault: str, struck: int, product: Verdict, naive: Verdict, unanswered: int) -> Self:
        return cls(
            fault=fault,
            struck=struck,
            changes=product.changes,
            events=product.events,
            duplicates=product.duplicates,
            reads=product.reads,
            wrong_reads=len(product.wrong_reads),
            lost=len(product.lost),
            stale=len(product.stale),
            unanswered=unanswered,
            naive_reads=naive.reads,
            naive_wrong_reads=len(naive.wrong_reads),
            naive_lost=len(naive.lost),
            naive_stale=len(naive.stale),
        )

    def line(self) -> str:
        return "| " + " | ".join(f"{value:,}" if isinstance(value, int) else value for value in asdict(self).values())


def add(row: Row) -> None:
    """In the place of what this fault's last run has left."""
    rows = {each.fault: each for each in read()} | {row.fault: row}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps([asdict(each) for each in rows.values()], indent=2) + "\n")


def read() -> list[Row]:
    return [Row(**each) for each in json.loads(FILE.read_text())] if FILE.exists() else []


def table(rows: list[Row]) -> str:
    total = {name: sum(asdict(each)[name] for each in rows) for name in Row.__slots__ if name != "fault"}
    lines = [*sorted(rows, key=lambda each: each.fault), Row(fault="**all**", **total)]
    return _HEAD + "".join(f"{each.line()} |\n" for each in lines)


def insert(document: str, made: str) -> str:
    """The document with the table between its two marks."""
    before, _, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{DOCUMENT} should have the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


if __name__ == "__main__":
    found = read()
    if not found:
        raise SystemExit("No fault has been run yet: ./manage_scripts/test tests/faults")
    DOCUMENT.write_text(insert(DOCUMENT.read_text(), table(found)))
    sys.stdout.write(f"{len(found)} faults written to {DOCUMENT.relative_to(ROOT)}.\n")
