"""Copies of programs where every account of the machine may run them.

Needed by root alone, whose programs may be in a home that nobody else may enter (see `accounts`). They are made once
and kept: they are as good for the next start.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from manage_scripts.stack.accounts import open_to_all
from manage_scripts.stack.errors import StackError

_SHARED = Path("/var/tmp")  # noqa: S108 - what is found there is checked before it is trusted


def public_copy(*folders: Path) -> Path:
    """The folder that holds the copies of `folders`, which lie side by side; they are made if they aren't there."""
    described = " ".join(f"{folder} {folder.stat().st_mtime_ns} {folder.stat().st_ino}" for folder in folders)
    copy = _SHARED / f"{folders[0].name}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=_SHARED))
        for folder in folders:
            shutil.copytree(folder, making / folder.name, symlinks=True)
        for path in [making, *making.rglob("*")]:
            if not path.is_symlink():
                _open(path)
        if not copy.exists():
            making.rename(copy)
    # Anybody may write to that place: a folder that another account has put there is no copy of ours.
    found = copy.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & stat.S_IWOTH:
        raise StackError(f"{copy} belongs to somebody else: remove it, or run this as another user.")
    if not open_to_all(copy):
        raise StackError(f"{copy} can't be entered by everybody: run this as another user.")
    return copy


def _open(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH)
    readable = stat.S_IRGRP | stat.S_IROTH
    runnable = stat.S_IXGRP | stat.S_IXOTH if mode & stat.S_IXUSR else 0
    path.chmod(mode | readable | runnable)
