"""The checks of ./manage_scripts/check: advisories, secrets, wording."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.advisories import Advisories, read
from devstack.commands.check import report_advisories, wording_mistakes
from devstack.environment import ROOT

SOUND = {"name": "redis", "version": "8.1.0", "vulns": []}
KNOWN_BAD = {"name": "django", "version": "5.2.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["5.2.1", "6.0.1"]}]}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found"}


def answer(*libraries: object) -> str:
    return json.dumps({"dependencies": libraries, "fixes": []})


def test_what_is_known_against_a_library_fails_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(answer(SOUND, KNOWN_BAD), "")

    assert found == Advisories(2, ["django 5.2.0: CVE-2026-1, fixed in 5.2.1, 6.0.1"])
    assert report_advisories(found)
    assert "FAILED" in capsys.readouterr().out


def test_nothing_known_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert not report_advisories(read(answer(SOUND), ""))
    assert "ok      nothing known against 1 libraries" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (read(answer(UNKNOWN), ""), "1 of 1: Dependency not found"),
        (read("", "Traceback\nConnectionError: no route\n"), "ConnectionError: no route"),
        (read("", ""), "pip-audit says nothing"),
    ],
)
def test_who_can_not_ask_says_so_and_goes_on(capsys: pytest.CaptureFixture[str], told: Advisories, why: str) -> None:
    assert not report_advisories(told)
    printed = capsys.readouterr().out
    assert printed.startswith("UNKNOWN")
    assert why in printed
    assert "ok" not in printed.split()


def test_what_could_not_be_asked_hides_nothing_that_was_found() -> None:
    assert report_advisories(read(answer(UNKNOWN, KNOWN_BAD), ""))


def test_a_secret_is_found_and_not_repeated(tmp_path: Path) -> None:
    secret = "".join(("AKIA", "IOSFODNN7", "EXAMPLF"))
    file = tmp_path / "settings.py"
    file.write_text(f"AWS_KEY = '{secret}'\n")

    scan = [sys.executable, "-m", "devstack.secret_scan", str(file)]
    done = subprocess.run(scan, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stderr
    assert "settings.py:1: AWS Access Key" in done.stdout
    assert "pragma: allowlist secret" in done.stdout
    assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "# Told by whom?",
        '"""Made anew."""',
        "# It can't. Who waits, loses.",
        "def f() -> None:\n    # It vouches for it.\n    ...",
    ],
)
def test_a_word_that_needs_translation_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)
    [mistake] = wording_mistakes(tmp_path / "module.py")
    assert mistake.startswith(f"{tmp_path}/module.py:{text.count(chr(10), 0, text.find('vouch') + 1) + 1}: ")


def test_code_and_questions_may_use_any_word(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('anew = "whom"  # Who asks? `vouched` is a name.\n')
    (tmp_path / "page.md").write_text("`-k anew`\n\n```\nwhom\n```\n")
    assert [*wording_mistakes(tmp_path / "module.py"), *wording_mistakes(tmp_path / "page.md")] == []
