"""Everything that can be said about the code without running it, one line a check: ./manage_scripts/check"""

import argparse
import ast
import io
import os
import re
import subprocess
import sys
import time
import tokenize
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from devstack import advisories
from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT

# Enough for the settings to load; no check talks to a server.
SETTINGS = {
    "AUTH_REQUIRED": "false",
    "SECRET_KEY": "for-checks-only-" + "x" * 50,
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "ORGANIZATION_SERVICE_URL": "http://127.0.0.1:1",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
}
_SERVICES = (ORGANIZATION, LICENSING)
_PROJECTS = (*_SERVICES, JOURNAL)
_PYTHON_PATH = os.pathsep.join(str(folder) for folder in (ROOT, *(project.folder for project in _PROJECTS)))
_TOOLS = Path(sys.executable).parent

# Words that a reader of this field would have to translate. Few rules, so that each hit is worth a change.
_WORDING = (
    (re.compile(r"\bwhom\b", re.IGNORECASE), "name the noun"),
    (re.compile(r"\banew\b", re.IGNORECASE), "say 'again'"),
    (re.compile(r"\bvouch(?:e[sd]|ing)?\b", re.IGNORECASE), "say 'fresh' or 'validated'"),
    (re.compile(r"\bmend(?:s|ed|ing)?\b", re.IGNORECASE), "say 'fix'"),
    (re.compile(r"(?:^|[.:;!?|]\s+|[-*#]\s+)Who\b(?![^.|]*\?)"), "begin with the subject, not with 'Who'"),
)
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Check:
    """A command that must end with exit code 0."""

    name: str
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def complaint(self) -> str | None:
        """The output of a failed check, or None."""
        done = subprocess.run(
            self.argv,
            cwd=ROOT,
            env=os.environ | SETTINGS | self.environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return None if done.returncode == 0 else done.stdout.strip() or f"exit code {done.returncode}"


def checks() -> list[Check]:
    common = [
        path
        for path in ("event_stream", "pytest_event_stream", "service_kit", "devstack", "manage_scripts", "benchmarks")
        if any((ROOT / path).rglob("*.py"))
    ]
    yours = {project.name for project in _PROJECTS}
    folders = (*(ROOT / "tests").iterdir(), *(ROOT / "tests/unit").iterdir())
    tests = [str(path.relative_to(ROOT)) for path in sorted(folders) if path.name not in {*yours, "unit"}]
    return [
        Check(
            "mypy: event_stream, service_kit, devstack, tests",
            [*_mypy("event_stream/mypy.ini"), *common, *_typed(tests)],
        ),
        *(check for project in _PROJECTS for check in _of_project(project)),
        Check("ruff check", [str(_TOOLS / "ruff"), "check", "--quiet", "."]),
        Check("ruff format", [str(_TOOLS / "ruff"), "format", "--quiet", "--check", "."]),
        Check("import directions", [str(_TOOLS / "lint-imports")], {"PYTHONPATH": _PYTHON_PATH}),
        Check("hadolint", [str(_TOOLS / "hadolint"), "deploy/Dockerfile"]),
        Check("wording", [sys.executable, "-m", "devstack.commands.check", "--wording"]),
        Check("documents: the site and its links", [sys.executable, "-m", "devstack.commands.docs", "--build"]),
        Check("no secret in the repository", [sys.executable, "-m", "devstack.secret_scan"]),
    ]


def _of_project(project: Project) -> Iterator[Check]:
    python_path = {"MYPYPATH": str(project.folder), "PYTHONPATH": str(project.folder)}
    folder = str(project.folder.relative_to(ROOT))
    tests = [f"tests/{project.name}", f"tests/unit/{project.name}"]
    folders = _typed([folder, *(path for path in tests if (ROOT / path).exists())])
    yield Check(f"mypy: {project.name}", [*_mypy(f"{folder}/mypy.ini"), *folders], python_path)
    # The services as in production: what the environment leaves out is as safe as it can be.
    deploy = ["--deploy"] if project in _SERVICES else []
    yield Check(f"{project.name}: system checks", project.command("check", *deploy, "--fail-level", "WARNING"))
    yield Check(f"{project.name}: migrations", project.command("makemigrations", "--check", "--dry-run"))
    if project not in _SERVICES:
        return
    spectacular = ("spectacular", "--validate", "--fail-on-warn", "--file", os.devnull)
    yield Check(f"{project.name}: OpenAPI", project.command(*spectacular))


def _mypy(configuration: str) -> list[str]:
    # A cache for each, or the runs would throw away each other's.
    cache = ROOT / ".mypy_cache" / configuration.replace("/", "-")
    return [str(_TOOLS / "mypy"), "--config-file", configuration, "--cache-dir", str(cache), "--no-error-summary"]


def _typed(paths: list[str]) -> list[str]:
    """Those that hold Python at all."""
    return [path for path in paths if path.endswith(".py") or any((ROOT / path).rglob("*.py"))]


def wording_mistakes(path: Path) -> Iterator[str]:
    """One line for each word in a Markdown file's text, or a Python file's comments and docstrings."""
    text = path.read_text()
    for number, prose in [(1, text)] if path.suffix == ".md" else _prose(text):
        # As many characters and lines as before, so that a place in it is a place in the file.
        plain = _CODE.sub(lambda code: re.sub(r"[^\n]", "_", code[0]), prose)
        for offset, line in enumerate(plain.split("\n")):
            for rule, remedy in _WORDING:
                if match := rule.search(line.strip(" #\"'")):
                    yield f"{path}:{number + offset}: {match[0].strip()!r}: {remedy}"


def _prose(source: str) -> Iterator[tuple[int, str]]:
    """Each comment and docstring of Python code, with the number of its first line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            # The source's own lines: an escape in a docstring would shift them.
            yield node.lineno, "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])


def _check_wording() -> int:
    tracked = subprocess.run(["git", "ls-files", "*.md", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True)
    paths = [ROOT / name for name in tracked.stdout.splitlines() if "/migrations/" not in name]
    mistakes = [mistake for path in paths if path.exists() for mistake in wording_mistakes(path)]
    print("\n".join(mistake.removeprefix(f"{ROOT}/") for mistake in mistakes))
    return 1 if mistakes else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="check", description=__doc__)
    parser.add_argument("--wording", action="store_true", help="only the words of documents, comments and docstrings")
    if parser.parse_args().wording:
        return _check_wording()
    os.chdir(ROOT)
    failed = 0

    def run(check: Check) -> tuple[Check, str | None, float]:
        started = time.monotonic()
        return check, check.complaint(), time.monotonic() - started

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for check, complaint, took_s in pool.map(run, checks()):
            failed += _report(check.name, complaint, took_s)
    failed += report_advisories(advisories.ask())
    print(f"{failed} checks failed" if failed else "All checks passed")
    return 1 if failed else 0


def _report(name: str, complaint: str | None, took_s: float) -> bool:
    print(f"{'ok    ' if complaint is None else 'FAILED'}  {name}  ({took_s:.1f} s)", flush=True)
    if complaint is not None:
        print("\n".join(f"        {line}" for line in complaint.splitlines()), flush=True)
    return complaint is not None


def report_advisories(answer: advisories.Advisories) -> bool:
    """Whether something was found. That nobody could be asked is told, and is no failure."""
    complaint = "\n".join(answer.found) or None
    if complaint is not None or answer.asked:
        _report(f"nothing known against {answer.asked} libraries", complaint, 0.0)
    if answer.unasked:
        print(f"UNKNOWN what is known against libraries: nobody could be asked about {answer.unasked}", flush=True)
    return complaint is not None


if __name__ == "__main__":
    raise SystemExit(main())
