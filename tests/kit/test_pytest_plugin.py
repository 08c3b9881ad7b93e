"""The plugin, in projects of its users: each a pytest of its own."""

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

HERE = Path(__file__).parent
# Ours has to be found by its entry point.
ALONE = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "error::pytest.PytestWarning"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q", f"--rootdir={folder}", "-c", "/dev/null", *ALONE, *arguments]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """By the name of the test what it failed with; None where it passed."""
    # Elsewhere: pytest would find the conftest.py of these tests.
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(HERE / "shop", folder / "shop")
    report = folder / "report.xml"
    done = run(folder, f"--junit-xml={report}", "--ds=shop.settings", "shop/orders.py")
    assert report.exists(), done.stdout + done.stderr
    return {
        case.attrib["name"]: next((problem.attrib["message"] for problem in case), None)
        for case in ET.parse(report).getroot().iter("testcase")
    }


@pytest.mark.parametrize("name", ["test_captured", "test_isolated", "test_worker", "test_crash", "test_emits"])
def test_a_fixture_does_what_it_says(outcomes: dict[str, str | None], name: str) -> None:
    assert outcomes[name] is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("test_fails_for_a_silent_write", "rows of shop.Order that were written without a message: 1"),
        ("test_fails_for_a_silent_deletion", "rows of shop.Order that were written without a message: 1"),
        ("test_fails_for_a_message_without_a_write", "rows of shop.Order that were told of and not written: 77"),
        ("test_fails_for_no_message", "1 messages through 'outboundOrders' were expected; there are []"),
        ("test_fails_for_another_payload", "1 messages through 'outboundOrders' that say {'action': 'PAID'} were exp"),
        ("test_fails_with_the_errors_of_the_block", "ZeroDivisionError: of the block"),
    ],
)
def test_assert_emits_fails_for(outcomes: dict[str, str | None], name: str, told: str) -> None:
    assert told in (outcomes[name] or "")


def test_a_project_that_does_not_use_it_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('event_stream')\n"
        "    assert not [name for name in sys.modules if name.partition('.')[0] in ('django', 'event_stream')]\n"
    )
    done = run(tmp_path, "-p", "no:django", "test_mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
