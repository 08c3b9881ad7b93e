import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.accounts import open_to_all, public_copy
from devstack.errors import StackError


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
