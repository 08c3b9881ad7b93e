"""A copy of a folder of programs where every account of the machine may run it.

Needed by root alone, whose programs may be in a home that nobody else may enter (see `accounts`). It is made once and
kept: it is as good for the next start.
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


def public_copy(folder: Path) -> Path:
    """Where the copy of `folder` is; it is made if it isn't there."""
    status = folder.stat()
    fingerprint = hashlib.sha256(f"{folder} {status.st_mtime_ns} {status.st_ino}".encode()).hexdigest()[:12]
    copy = _SHARED / f"{folder.name}-{fingerprint}"
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=_SHARED))
        shutil.copytree(folder, making, dirs_exist_ok=True, symlinks=True)
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
