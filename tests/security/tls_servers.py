"""Kafka, Redis and PostgreSQL as deploy/ secures them, for two services that have a user each.

Kafka always speaks TLS. The wheels of Valkey and PostgreSQL can't, so that Debian's Redis and PostgreSQL are taken
where they are installed; without them the same users log in to the wheels' servers in plain text.
"""

import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from string import Template
from typing import Any

import psycopg
import redis
from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

from devstack.accounts import lowered, unprivileged_account
from devstack.environment import ROOT, server_environment
from devstack.kafka import Kafka
from devstack.ports import free_port
from devstack.postgres import Postgres
from devstack.process import SupervisedProcess
from devstack.wheels import valkey_server
from tests.security.certificates import Authority

DEPLOY = ROOT / "deploy"
MECHANISM = "SCRAM-SHA-512"


class SecuredKafka(Kafka):
    """With deploy/kafka/security.properties. `user` makes one, who may do nothing yet."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        port, controller_port = free_port(), free_port()
        self.authorities = authority.certificate
        self.passwords = {"admin": secrets.token_hex(8), "broker": secrets.token_hex(8)}
        lines = (DEPLOY / "kafka" / "security.properties").read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        super().__init__(
            folder / "kafka",
            port=port,
            voters={1: controller_port},
            settings=settings | {"listeners": f"CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"},
            environment={
                "KAFKA_BROKER_PASSWORD": self.passwords["broker"],
                "KAFKA_BROKER_PEM": str(authority.pair("broker").both),
                "KAFKA_AUTHORITIES_PEM": str(authority.certificate),
            },
            scram_users=self.passwords,
            name="Kafka with TLS",
        )

    def add_user(self, name: str) -> None:
        self.passwords[name] = secrets.token_hex(8)
        admin = KafkaAdminClient(bootstrap_servers=[self.bootstrap_servers], **self.security("admin"))
        failed = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(name, MECHANISM, self.passwords[name])]
        )
        admin.close()
        assert failed == {name: None}

    def environment(self, user: str, **other: str | Path) -> dict[str, str]:
        """A service's variables."""
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": MECHANISM,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self.passwords[user],
            "KAFKA_SSL_CAFILE": str(self.authorities),
        }
        return variables | {name: str(value) for name, value in other.items()}

    def security(self, user: str) -> dict[str, Any]:
        """The same as kafka-python's settings."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": self.passwords[user],
            "ssl_cafile": str(self.authorities),
        }


class SecuredRedis(SupervisedProcess):
    """With deploy/redis/users.acl, and an `admin` who may do everything."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.port = free_port()
        self.passwords = {"licensing": secrets.token_hex(8), "admin": secrets.token_hex(8)}
        self._authorities = authority.certificate
        program = shutil.which("redis-server")
        self.has_tls = program is not None
        users = (DEPLOY / "redis" / "users.acl").read_text()
        if self.has_tls:
            # Debian 12's Redis (7.0) is older than this command, and redis-py goes on without it.
            users = users.replace(" +client|setinfo", "")
        acl = folder / "users.acl"
        acl.write_text(
            Template(users).substitute(VALKEY_PASSWORD=self.passwords["licensing"])
            + f"user admin on >{self.passwords['admin']} ~* &* +@all\n"
        )
        pair = authority.pair("redis")
        chosen = {"bind": "127.0.0.1", "dir": folder, "save": "", "aclfile": acl, "port": self.port}
        if self.has_tls:
            chosen |= {
                "port": 0,
                "tls-port": self.port,
                "tls-auth-clients": "no",
                "tls-ca-cert-file": self._authorities,
            }
            chosen |= {"tls-cert-file": pair.certificate, "tls-key-file": pair.key}
        argv = [program or str(valkey_server())]
        for name, value in chosen.items():
            argv += [f"--{name}", str(value)]
        super().__init__(
            "Redis", argv, log=folder / "redis.log", ready=self._answers, env=server_environment(LC_ALL="C.UTF-8")
        )

    def url(self, user: str = "licensing", *, password: str | None = None, authorities: Path | None = None) -> str:
        login = f"{user}:{password or self.passwords[user]}"
        if self.has_tls:
            return f"rediss://{login}@127.0.0.1:{self.port}/0?ssl_ca_certs={authorities or self._authorities}"
        return f"redis://{login}@127.0.0.1:{self.port}/0"

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url("admin"), socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def debian_postgres() -> Path | None:
    """The programs of the newest version that Debian has installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class TlsPostgres(SupervisedProcess):
    """Debian's PostgreSQL with a certificate and deploy/postgres/pg_hba.conf; `postgres` is its administrator."""

    def __init__(self, folder: Path, programs: Path, authority: Authority) -> None:
        self.port = free_port()
        self._data = folder / "tls-postgres"
        self._programs = programs
        self._password = secrets.token_hex(8)
        self._authorities = authority.certificate
        self._pair = authority.pair("postgres")
        super().__init__(
            "PostgreSQL with TLS",
            [],
            log=folder / "tls-postgres.log",
            ready=self._answers,
            env=server_environment(),
            stop_signal=signal.SIGINT,
        )

    def spawn(self) -> "TlsPostgres":
        folder = self._data.parent
        account = self._account = unprivileged_account(folder)
        password, certificate, key, rules = (
            folder / name for name in ("password", "server.pem", "server.key", "pg_hba.conf")
        )
        password.write_text(self._password)
        certificate.write_bytes(self._pair.certificate.read_bytes())
        key.touch(mode=0o600)
        key.write_bytes(self._pair.key.read_bytes())
        rules.write_bytes((DEPLOY / "postgres" / "pg_hba.conf").read_bytes())
        self._data.mkdir(mode=0o700)
        if account is not None:
            for each in (password, certificate, key, rules, self._data):
                account.own(each)
        argv = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres", f"--pwfile={password}"]
        argv, credentials = lowered([*argv, "--auth=scram-sha-256", "--no-sync", "--locale=C"], account)
        subprocess.run(argv, check=True, capture_output=True, env=self.env, **credentials)
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings |= {"hba_file": rules, "ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key}
        self.argv = [str(self._programs / "postgres"), "-D", str(self._data)]
        self.argv += [f"--{name}={value}" for name, value in settings.items()]
        return super().spawn()

    def url(self, database: str = "postgres") -> str:
        """The administrator's."""
        return self.user_url("postgres", self._password, database)

    def user_url(self, user: str, password: str, database: str, *, authorities: Path | None = None) -> str:
        checked = f"sslmode=verify-full&sslrootcert={authorities or self._authorities}"
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}?{checked}"

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


class PlainPostgres(Postgres):
    """The wheel's, with the same users and no TLS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "plain-postgres", durable=False)

    def user_url(self, user: str, password: str, database: str, *, authorities: Path | None = None) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"
