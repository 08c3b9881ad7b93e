"""The account that PostgreSQL runs as: it refuses to run as root, so root runs it as `nobody`."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from devstack.errors import StackError

_NAME = "nobody"
# The one capability that lets `nobody` through to data below a folder that only root may enter (a home with mode 0700).
# Widening the mode of somebody's home folder would be the alternative; and rude. Programs need more: `public_copy`.
_CAPABILITY = "dac_override"


_SHARED = Path("/var/tmp")  # noqa: S108 - copies there are checked before they are trusted


class Credentials(TypedDict, total=False):
    """Arguments of `subprocess.Popen`."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """An account to start a child as, `through_walls` if it can't reach its files by their modes."""

    uid: int
    gid: int
    through_walls: bool

    def lower(self, argv: Sequence[str]) -> tuple[list[str], Credentials]:
        """The command line and the arguments of `Popen` that start `argv` as this account."""
        if not self.through_walls:
            return list(argv), {"user": self.uid, "group": self.gid, "extra_groups": []}
        capability = f"+{_CAPABILITY}"
        wrapper = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        wrapper += [f"--inh-caps={capability}", f"--ambient-caps={capability}", "--"]
        return [*wrapper, *argv], {}

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)


def lowered(argv: Sequence[str], account: Account | None) -> tuple[list[str], Credentials]:
    """`account.lower(argv)`; `argv` as it is without an account."""
    return account.lower(argv) if account is not None else (list(argv), {})


def unprivileged_account(data: Path) -> Account | None:
    """The account for a server that refuses root, with its data in the folder `data`; None if we aren't root."""
    if os.geteuid() != 0:
        _require_name(os.geteuid())
        return None
    entry = pwd.getpwnam(_NAME)
    account = Account(entry.pw_uid, entry.pw_gid, through_walls=not open_to_all(data))
    if account.through_walls and not _can_lower(account):
        raise StackError(
            f"PostgreSQL refuses to run as root, and the account '{_NAME}' may not enter {data}: "
            "run this as another user, or from a folder that others may enter."
        )
    return account


def make_private(folder: Path) -> None:
    """Make `folder`, which nobody else may enter: logs and data are in it.

    Where root's servers would be shut out, because nothing here lets them through, others may pass and not look.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entry = pwd.getpwnam(_NAME) if os.geteuid() == 0 else None
    shut_out = entry is not None and not _can_lower(Account(entry.pw_uid, entry.pw_gid, through_walls=True))
    folder.chmod(0o711 if shut_out else 0o700)


def _require_name(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise StackError(
            f"PostgreSQL runs only for an account that has a name, and the user id {uid} has none here: "
            "run this as a user of this machine or image, or set DATABASE_URL to a PostgreSQL of your own."
        ) from None


def open_to_all(path: Path) -> bool:
    """Whether everybody may enter `path` if it is a folder; read it, and run it if it is a program, otherwise."""
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return False
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return bool(mode & stat.S_IXOTH)
    required = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
    return mode & required == required


def _can_lower(account: Account) -> bool:
    if shutil.which("setpriv") is None:
        return False
    argv, credentials = account.lower(["true"])
    return subprocess.run(argv, check=False, capture_output=True, **credentials).returncode == 0


def public_copy(*folders: Path) -> Path:
    """Copy `folders`, which are side by side, to where every account may run programs; return the folder of the copies.

    Only root needs copies, because its programs may be in a home that no other account may enter. They are kept for the
    next start.
    """
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
    status = copy.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IWOTH:
        raise StackError(f"{copy} belongs to somebody else: remove it, or run this as another user.")
    if not open_to_all(copy):
        raise StackError(f"{copy} can't be entered by everybody: run this as another user.")
    return copy


def _open(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH)
    readable = stat.S_IRGRP | stat.S_IROTH
    runnable = stat.S_IXGRP | stat.S_IXOTH if mode & stat.S_IXUSR else 0
    path.chmod(mode | readable | runnable)
