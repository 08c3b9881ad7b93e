"""PgBouncer, a pooler before PostgreSQL, where it is installed. It refuses to run as root, like PostgreSQL."""

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from devstack.accounts import unprivileged_account
from devstack.environment import server_environment
from devstack.errors import StackError
from devstack.ports import accepts, free_port
from devstack.process import SupervisedProcess

# Debian puts it where only root's PATH leads.
_FOLDERS_BESIDE_PATH = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"

_CONFIGURATION = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
default_pool_size = 10
"""


class PgBouncerMissing(StackError):  # noqa: N818 - an absence, which callers turn into a skipped test
    """There is no PgBouncer on this machine."""


class PgBouncer(SupervisedProcess):
    """A pooler on 127.0.0.1 before the server whose URL `server_url` returns, once that has started.

    `mode` is its pool_mode. Raises PgBouncerMissing.
    """

    def __init__(self, data_dir: Path, server_url: Callable[[], str], *, mode: str = "transaction") -> None:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=_FOLDERS_BESIDE_PATH)
        if program is None:
            raise PgBouncerMissing("There is no PgBouncer on this machine: install the package `pgbouncer`.")
        self.data_dir = data_dir
        self.port = free_port()
        self._server_url = server_url
        self._mode = mode
        self._program = program
        super().__init__(
            "PgBouncer",
            [],
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=lambda: accepts(self.port),
            env=server_environment(),
        )

    def spawn(self) -> "PgBouncer":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        server = urlsplit(self._server_url())
        users, configuration = self.data_dir / "users.txt", self.data_dir / "pgbouncer.ini"
        users.touch(mode=0o600)
        users.write_text(f'"{server.username}" "{server.password}"\n')
        configuration.write_text(
            _CONFIGURATION.format(
                host=server.hostname, port=server.port, own_port=self.port, users=users, mode=self._mode
            )
        )
        self._account = unprivileged_account(self.data_dir.parent)
        if self._account is not None:
            self._account.own(users)
        self.argv = [self._program, str(configuration)]
        return super().spawn()

    def url(self) -> str:
        """The URL of the same database, by way of the pooler."""
        parts = urlsplit(self._server_url())
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{self.port}"))
