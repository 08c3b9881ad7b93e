"""The table says what was found, and goes to its place in the document."""

import dataclasses

from tests.faults.oracle import Verdict
from tests.faults.results import BEGIN, END, Row, insert, table

PRODUCT = Verdict(changes=1200, events=1230, duplicates=30, reads=5000)
NAIVE = dataclasses.replace(PRODUCT, reads=4000, lost=["a"], stale=["b", "c"], wrong_reads=["d"] * 7)


def test_a_row_has_the_figures_of_both() -> None:
    made = table([Row.of("relay killed", 30, PRODUCT, NAIVE, 4), Row.of("broker away", 3, PRODUCT, PRODUCT, 0)])
    _, _, first, second, total = made.strip().splitlines()
    assert first.startswith("| broker away | 3 | 1,200 |")
    assert second == "| relay killed | 30 | 1,200 | 1,230 | 30 | 0 | 5,000 | 0 | 0 | 4 | 1 | 4,000 | 7 | 2 |"
    assert total.startswith("| **all** | 33 | 2,400 |")


def test_it_goes_between_the_marks_and_nowhere_else() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert insert(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
