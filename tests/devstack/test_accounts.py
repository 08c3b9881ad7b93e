import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.accounts import make_private, open_to_all, public_copy
from devstack.errors import StackError
from devstack.run_state import Secrets


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder in a home that nobody else may enter, with a program in it that nobody else may run."""
    folder = tmp_path / "programs"
    program = folder / "bin" / "greet"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho hello\n")
    for path in (program, program.parent, folder, tmp_path):
        path.chmod(0o700)
    return folder


@pytest.fixture
def copy(programs: Path) -> Iterator[Path]:
    copy = public_copy(programs)
    yield copy
    shutil.rmtree(copy)


def test_the_copy_of_a_closed_folder_is_open_to_all_and_works(programs: Path, copy: Path) -> None:
    program = copy / programs.name / "bin" / "greet"
    assert not open_to_all(programs / "bin" / "greet")
    assert open_to_all(program)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == "hello\n"


def test_the_copy_is_made_once(programs: Path, copy: Path) -> None:
    made = copy.stat().st_ino
    assert public_copy(programs) == copy
    assert copy.stat().st_ino == made


def test_a_copy_that_others_may_change_is_not_trusted(programs: Path, copy: Path) -> None:
    copy.chmod(0o777)
    with pytest.raises(StackError, match="belongs to somebody else"):
        public_copy(programs)


def test_what_a_run_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "run"
    make_private(data)
    assert stat.S_IMODE(data.stat().st_mode) & 0o066 == 0
    secrets = Secrets.load(data / "secrets.json")
    assert stat.S_IMODE((data / "secrets.json").stat().st_mode) == 0o600
    assert secrets.organization_secret_key != secrets.licensing_secret_key
    assert Secrets.load(data / "secrets.json") == secrets


def test_the_one_key_of_an_earlier_run_becomes_two_and_the_password_stays(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"secret_key": "shared", "admin_password": "kept"}))  # pragma: allowlist secret
    secrets = Secrets.load(file)
    assert secrets.admin_password == "kept"  # pragma: allowlist secret
    assert "shared" not in {secrets.organization_secret_key, secrets.licensing_secret_key}
    assert Secrets.load(file) == secrets
