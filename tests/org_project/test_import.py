"""`manage.py import_organizations` on files as people have them."""

import io
import json
import os
import signal
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from event_stream.outbox.models import OutboxEntry
from organizations import importing
from organizations.importing import Importer, Tally
from organizations.management.commands import import_organizations
from organizations.models import Organization
from tests.org_project.conftest import Told

ID = "e958e6a3-7ac0-4f3d-9c2b-111111111111"
OTHER = "e958e6a3-7ac0-4f3d-9c2b-222222222222"

Tell = Callable[[], list[Told]]


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    bad: dict[int, str]
    """The reason by line number."""


@pytest.fixture
def run(told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Import this text (or these bytes) with these options."""

    def run(content: str | bytes, *options: str, name: str = "file.csv") -> Outcome:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        out, code = io.StringIO(), 0
        try:
            call_command("import_organizations", str(file), *options, stdout=out)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("line ")]
        bad = {int(line.split(":")[0].removeprefix("line ")): line.split(": ", 1)[1] for line in lines}
        return Outcome(code, out.getvalue(), bad)

    return run


def names() -> list[str]:
    return list(Organization.objects.values_list("name", flat=True))


def test_csv(run: Callable[..., Outcome], told: Tell) -> None:
    """A byte order mark, columns in any order, quotes, an empty line, line ends of Windows."""
    outcome = run(f'\ufeffcontactPhone,name,id\r\n+1 202 555 0100,"Société ""A"", Ltd",{ID}\r\n\r\n,서울,\r\n')
    assert (outcome.code, outcome.bad) == (0, {})
    assert names() == ['Société "A", Ltd', "서울"]
    assert str(Organization.objects.first().pk) == ID  # type: ignore[union-attr]
    assert "2 lines: 2 created, 0 updated, 0 bad" in outcome.out
    assert [event.action for event in told()] == ["CREATED", "CREATED"]


def test_jsonl(run: Callable[..., Outcome], told: Tell) -> None:
    lines = [{"name": "A", "contactEmail": None, "id": ID}, {"name": "B", "contactName": "Registry Office"}]
    outcome = run("\n\n".join(map(json.dumps, lines)), name="file.JSONL")
    assert (outcome.code, names()) == (0, ["A", "B"])
    assert [event.action for event in told()] == ["CREATED", "CREATED"]


def test_an_import_has_one_correlation_id_and_says_it(run: Callable[..., Outcome]) -> None:
    outcome = run("name\nA\nB\n")
    [correlation_id] = set(OutboxEntry.objects.values_list("correlation_id", flat=True))
    assert correlation_id in outcome.out


BAD = f"""name,contactEmail,id
A,a@example.org,{ID}
B,nope,
"C
D",,
E,,{ID.upper()}
F
 ,,
"G"x,,
H,,xx
K,,
"""
BAD_NUMBERS = {3, 4, 6, 7, 8, 9, 10}


def test_bad_lines_are_named_and_the_rest_goes_in(run: Callable[..., Outcome], told: Tell) -> None:
    outcome = run(BAD)
    assert outcome.code == 1
    assert set(outcome.bad) == BAD_NUMBERS
    assert outcome.bad[3] == "contactEmail: Enter a valid email address."
    assert outcome.bad[6] == "id: line 2 has the same"
    assert "1 values where the first line names 3" in outcome.bad[7]
    assert names() == ["A", "K"]
    assert len(told()) == 2
    assert "9 lines: 2 created, 0 updated, 7 bad" in outcome.out


FOUR = "name,contactName,contactEmail,contactPhone\n"


@pytest.mark.parametrize(
    ("content", "bad", "good"),
    [
        # To the end of the file; and to a quotation mark that opens a value.
        ('"Open,a,,\nB,b,,\nC,c,,\nD,d,,\n', {2}, ["B", "C", "D"]),
        ('"Open,a,,\nB,b,,\n"C","c",,\nD,d,,\n', {2}, ["B", "C", "D"]),
        ('x,"Open,,\nB,b,,\nC,"c, d",,\n', {2}, ["B", "C"]),
        # Two of them, and one after the other.
        ('"Open,a,,\n"Open,b,,\nC,c,,\n', {2, 3}, ["C"]),
        ('"Open,a,,\nB,b,,\n"Open,c,,\nD,d,,\n', {2, 4}, ["B", "D"]),
        # The end of a value over several lines is no organization.
        ('"A\nB" and C",a,,\nD,d,,\n', {2, 3}, ["D"]),
        # Where the value is closed, the record is one, and its lines are not read by themselves.
        ('"A\nB,b,,\nC",c,,\nD,d,,\n', {2}, ["D"]),
        ('"A\nB,b\nC",c,,,,\nD,d,,\n', {2}, ["D"]),
        # Inches in a value without quotation marks.
        ('5" pipes,a,,\n', set(), ['5" pipes']),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quotation_mark_that_is_not_closed_spoils_its_line_only(
    run: Callable[..., Outcome], content: str, bad: set[int], good: list[str], end: str
) -> None:
    outcome = run((FOUR + content).replace("\n", end))
    assert set(outcome.bad) == bad
    assert sorted(names()) == good


def test_a_quotation_mark_that_is_not_closed_takes_bounded_memory_and_linear_time() -> None:
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        yield FOUR
        yield '"Open,a,,\n'
        for number in range(20_000):
            read += 1
            yield f"Organization {number},Registry Office,office{number}@example.org,+1 202 555 0100\n"

    tracemalloc.start()
    try:
        outcomes = [type(line) for line in importing.read_csv(lines())]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcomes == [importing.BadLine, *[importing.Line] * 20_000]
    assert read == 20_000
    assert peak < 20_000_000


@pytest.mark.parametrize("option", ["--atomic", "--dry-run"])
def test_nothing_is_written_but_every_bad_line_named(run: Callable[..., Outcome], told: Tell, option: str) -> None:
    outcome = run(BAD, option)
    assert (outcome.code, set(outcome.bad), names(), told()) == (1, BAD_NUMBERS, [], [])
    assert "Nothing was written" in outcome.out


def test_atomic_undoes_the_chunks_before_the_bad_line(
    run: Callable[..., Outcome], told: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 2)
    good = "name\n" + "A\n" * 5
    assert run(f"{good}\x07\n", "--atomic").code == 1
    assert (names(), told()) == ([], [])
    assert run(good, "--atomic").code == 0
    assert len(names()) == len(told()) == 5


def test_dry_run_tells_what_would_be(run: Callable[..., Outcome], told: Tell) -> None:
    Organization.objects.create(pk=ID, name="A")
    told()
    outcome = run(f"name,id\nB,{ID}\nC,\n", "--dry-run")
    assert outcome.code == 0
    assert "1 created, 1 updated" in outcome.out
    assert (names(), told()) == (["A"], [])


def test_a_line_with_the_id_of_an_organization_replaces_it(run: Callable[..., Outcome], told: Tell) -> None:
    before = Organization.objects.create(pk=ID, name="A", contact_name="Registry Office")
    told()
    outcome = run(f"id,name\n{ID},B\n{OTHER},C\n")
    assert "1 created, 1 updated" in outcome.out
    after = Organization.objects.get(pk=ID)
    assert (after.name, after.contact_name) == ("B", "")
    assert after.version > before.version
    assert {(event.action, event.key) for event in told()} == {("UPDATED", ID), ("CREATED", OTHER)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "it can't be read as JSON"),
        (b"[1]", "it should be a JSON object"),
        (b"[" * 100_000, "it can't be read as JSON"),
        (b'{"name": "A", "name": "B"}', "it can't be read as JSON: 'name' comes twice"),
        (b'{"name": 1}', "name: it should be a text"),
        (b'{"name": "\\ud800"}', "name: it should be UTF-8"),
        (b'{"name": "\xff"}', "name: it should be UTF-8"),
        (b'{"name": "\\u0000"}', "name: Line ends and control characters are not allowed."),
        (b'{"nmae": "A"}', "unknown: 'nmae'"),
        (b'{"name": "A", "id": 7}', "id: it should be a text"),
        (b'{"name": "' + b"x" * 201 + b'"}', "name: Ensure this value has at most 200 characters (it has 201)."),
        (b'{"name": "A", "contactPhone": "-"}', "contactPhone: Enter a phone number"),
        (b"{}", "name: This field cannot be blank."),
    ],
)
def test_reasons(run: Callable[..., Outcome], line: bytes, reason: str) -> None:
    outcome = run(b'{"name": "A"}\n' + line + b'\n{"name": "B"}', name="file.ndjson")
    assert outcome.bad[2].startswith(reason)
    assert (outcome.code, names()) == (1, ["A", "B"])


@pytest.mark.parametrize("line", [b"a\0b,", b"\xff,", b"a\rb", b'"' + b"x" * 300 + b'",'])
def test_bad_bytes_in_csv_spoil_their_line_only(run: Callable[..., Outcome], line: bytes) -> None:
    outcome = run(b"name,contactName\nA,\n" + line + b"\nB,\n")
    assert outcome.code == 1
    assert outcome.bad
    assert {"A", "B"} <= set(names())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "at least name"),
        ("contactName\nA\n", "at least name"),
        ("name,fax\n", "'fax'"),
        ("name,name\n", "twice"),
        (b"\x89PNG\r\n\x1a\n\0\0", "at least name"),
        ("name\n" + "x" * 1_000_001, "longer than"),
    ],
)
def test_a_file_that_can_not_be_read(run: Callable[..., Outcome], content: str | bytes, said: str) -> None:
    with pytest.raises(CommandError, match=said) as error:
        run(content)
    assert error.value.returncode == 2
    assert names() == []


@pytest.mark.parametrize(("file", "said"), [("none.csv", "No such file"), ("file.xlsx", "--format"), ("-", "--format")])
def test_a_file_that_is_not_there(file: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=said) as error:
        call_command("import_organizations", file)
    assert error.value.returncode == 2


def test_standard_input(told: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name\nStandard\n")))
    call_command("import_organizations", "-", "--format", "csv", stdout=io.StringIO())
    assert names() == ["Standard"]


def lines(count: int) -> Iterator[str]:
    yield "name,contactName,contactEmail,contactPhone\n"
    for number in range(count):
        yield f"Organization {number},Registry Office,office{number}@example.org,+1 202 555 0100\n"


def peak_of(file: Iterable[str], *, write: bool) -> int:
    importer = Importer(
        write=write, atomic=False, on_bad_line=lambda bad: pytest.fail(bad.reason), on_chunk=lambda tally: None
    )
    tracemalloc.start()
    try:
        importer.run(importing.read_csv(file))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("write", [False, True])
def test_memory_does_not_grow_with_the_file(told: Tell, write: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def growth(chunk: int) -> int:
        monkeypatch.setattr(importing, "CHUNK", chunk)
        return peak_of(lines(400), write=write) - peak_of(lines(40), write=write)

    growth(20)  # fills what is cached for good
    in_chunks, at_once = growth(20), growth(400)
    assert in_chunks < 0.3 * at_once


@pytest.fixture
def write_chunk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Have something happen before each chunk of two organizations is written; it is called with its number."""
    write = Importer._write
    monkeypatch.setattr(importing, "CHUNK", 2)

    def before_each(happen: Callable[[int], None]) -> None:
        numbers = iter(range(1, 100))

        def happening(organizations: list[Organization], tally: Tally, *, write_: bool) -> None:
            happen(next(numbers))
            write(organizations, tally, write=write_)

        monkeypatch.setattr(
            Importer, "_write", staticmethod(lambda *arguments, write: happening(*arguments, write_=write))
        )

    return before_each


SEVEN = "name\n" + "".join(f"{letter}\n" for letter in "ABCDEFG")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_what_is_in_and_where_to_go_on(
    run: Callable[..., Outcome],
    write_chunk: Callable[[Callable[[int], None]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    """The signal comes while the second chunk is written: that one is in, and known to be."""
    write_chunk(lambda chunk: os.kill(os.getpid(), number) if chunk == 2 else None)
    file = tmp_path / "organizations.csv"
    file.write_text(SEVEN)
    with pytest.raises(SystemExit) as exit_:
        import_organizations.Command().run_from_argv(["manage.py", "import_organizations", str(file)])
    assert exit_.value.code == 128 + number
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"CommandError: Stopped by {number.name}. The lines up to 5 are in (4 lines: 4 created, 0 updated, 0 bad); "
        "go on with --after-line 5."
    )
    assert names() == list("ABCD")
    assert run(SEVEN, "--after-line", "5").code == 0
    assert names() == list("ABCDEFG")


def test_where_the_database_fails_it_says_what_is_in(
    run: Callable[..., Outcome], write_chunk: Callable[[Callable[[int], None]], None]
) -> None:
    def fail(chunk: int) -> None:
        if chunk == 3:
            raise OperationalError("the server is away")

    write_chunk(fail)
    with pytest.raises(CommandError, match=r"The lines up to 5 are in .*; go on with --after-line 5\.") as raised:
        run(SEVEN)
    assert raised.value.returncode == 3
    assert names() == list("ABCD")
