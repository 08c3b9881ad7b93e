"""The package as its users get it: a wheel, installed alone into an empty environment, in an empty Django project."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.environment import ROOT

README = (ROOT / "event_stream" / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SETTINGS = """
INSTALLED_APPS += ["event_stream", "event_stream.inbox", "event_stream.messaging.cloudevents"]
EVENT_STREAM = {
    "binders": {"memory": {"type": "memory"}},
    "bindings": {"outboundOrders": {"destination": "orders"}},
}
"""
TYPED = """
from event_stream import Message, RecordMetadata, source

receipt: RecordMetadata = source("outboundOrders").send(Message({"order": 1})).result()
reveal_type(receipt.offset)
Message({"order": 1}, key=7)
"""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who has nothing but the wheel, Django and pytest."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> str:
        return str(self.folder / "venv" / "bin" / "python")

    def run(self, *arguments: str, folder: str = "") -> str:
        return run([self.python, *arguments], self.folder / folder)


def run(argv: Sequence[str], folder: Path) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    folder = tmp_path_factory.mktemp("stranger")
    built = folder / "built"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={built}", str(ROOT)], check=True
    )
    [wheel] = built.glob("*.whl")
    stranger = Stranger(folder, wheel)
    run([sys.executable, "-m", "venv", "venv"], folder)
    stranger.run("-m", "pip", "install", "--quiet", str(wheel), "pytest", "pytest-django")
    stranger.run("-m", "django", "startproject", "mine")
    with (folder / "mine" / "mine" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    return stranger


def test_the_wheel_has_what_it_needs_and_nothing_of_ours(stranger: Stranger) -> None:
    names = zipfile.ZipFile(stranger.wheel).namelist()
    tracked = subprocess.run(
        ["git", "ls-files", "event_stream", "pytest_event_stream"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    needed = {name for name in tracked if name.endswith((".py", ".lua", ".html", "py.typed"))}
    assert needed - set(names) == set()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "event_stream",
        "pytest_event_stream",
    }


def test_nothing_of_organizations_is_in_it(stranger: Stranger) -> None:
    """But for the header `tmx-org-id`, whose name is the source's."""
    words = re.compile(r"licens|organi[sz]ations|organi[sz]ation(?!_id|_ID|-id)", re.IGNORECASE)
    wheel = zipfile.ZipFile(stranger.wheel)
    sources = [name for name in wheel.namelist() if ".dist-info/" not in name]
    found = {name: words.findall(wheel.read(name).decode(errors="replace")) for name in sources}
    assert {name: them for name, them in found.items() if them} == {}


def test_an_empty_project_takes_it(stranger: Stranger) -> None:
    assert "no issues" in stranger.run("manage.py", "check", folder="mine")
    assert "event_stream_inbox" in stranger.run("manage.py", "migrate", folder="mine")


def test_the_five_minute_example_runs(stranger: Stranger) -> None:
    (stranger.folder / "example.py").write_text(EXAMPLES[0])
    assert "billing {'order': 1, 'total': '9.90'} for customer-7" in stranger.run("example.py")


def test_the_example_of_the_plugin_runs(stranger: Stranger) -> None:
    [example] = [each for each in EXAMPLES if "def test_" in each]
    (stranger.folder / "mine" / "test_orders.py").write_text(example)
    assert "1 passed" in stranger.run("-m", "pytest", "-q", "--ds=mine.settings", "test_orders.py", folder="mine")


def test_the_conformance_suite_runs_from_it(stranger: Stranger) -> None:
    (stranger.folder / "mine" / "test_binder.py").write_text(
        "import pytest\n"
        "from event_stream.binders.memory import MemoryBinder\n"
        "from event_stream.conf import Binding\n"
        "from event_stream.testing.conformance import PARTITIONS, BinderConformance, Harness\n"
        "class TestMine(BinderConformance):\n"
        "    @pytest.fixture\n"
        "    def harness(self):\n"
        "        binder = MemoryBinder('mine', {'partitions': PARTITIONS})\n"
        "        return Harness(binder, lambda: Binding('b', 'd', 'mine', group='g'))\n"
    )
    assert " passed" in stranger.run("-m", "pytest", "-q", "-p", "no:django", "test_binder.py", folder="mine")


def test_it_is_typed(stranger: Stranger) -> None:
    (stranger.folder / "snippet.py").write_text(TYPED)
    argv = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={stranger.python}", "snippet.py"]
    argv += ["--config-file=", "--follow-imports=silent"]
    done = subprocess.run(argv, cwd=stranger.folder, capture_output=True, text=True, check=False, timeout=250)
    assert 'Revealed type is "int"' in done.stdout
    assert 'Argument "key" to "Message" has incompatible type "int"' in done.stdout
    assert "Found 1 error" in done.stdout
