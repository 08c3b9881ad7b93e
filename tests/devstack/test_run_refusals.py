"""`./manage_scripts/run` refuses what can't work, before it has touched anything."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.commands import run
from devstack.environment import ROOT
from devstack.errors import StackError
from devstack.ports import RememberedPorts, free_port
from devstack.run_state import LOCK, SECRETS, RunLock, Secrets, forget, is_running, make_data


@pytest.mark.parametrize("port", ["-1", "0", "65536", "99999999", "9" * 5000, "abc", "8080.0", "\u0661", ""])
@pytest.mark.parametrize("option", ["--org-port", "--licensing-port", "--gateway-port"])
def test_a_port_that_is_none_is_refused(option: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run.main([f"{option}={port}"])
    assert exit_.value.code == 2
    assert f"argument {option}: should be a port, 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--org-port=9000", "--licensing-port=9000"],
        ["--org-port=8080"],
        ["--gateway-port=8081"],
        ["--licensing-port=8072"],
    ],
)
def test_two_services_on_one_port_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert "should be three ports" in capsys.readouterr().err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of a run that is over."""
    data = tmp_path / "data"
    make_data(data)
    Secrets.load(data / SECRETS)
    RunLock(data).release()
    (data / "kept").mkdir()
    (data / "kept" / "table").write_text("rows")
    return data


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    lock = RunLock(data)
    lock.acquire()
    yield
    lock.release()


def fresh(data: Path, ports: list[int], *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    options = [f"--{name}-port={port}" for name, port in zip(("org", "licensing", "gateway"), ports, strict=True)]
    return subprocess.run(
        [ROOT / "manage_scripts" / "run", "--once", "--fresh", "--data", data, *options, *more],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_fresh_deletes_nothing_before_all_is_known_to_be_right(data: Path) -> None:
    ports = [free_port(), free_port(), free_port()]
    with taken(ports[0]):
        assert f"Port {ports[0]}, wanted for the organization" in fresh(data, ports).stderr
    with taken(ports[1]):
        assert f"Port {ports[1]}, wanted for the licensing" in fresh(data, ports).stderr
    with locked(data):
        assert f"Another run (pid {os.getpid()}) works on the data" in fresh(data, ports).stderr
    assert "DATABASE_URL is set, but" in fresh(data, ports, DATABASE_URL="postgresql://127.0.0.1:1/none").stderr
    assert "REDIS_URL is set, but" in fresh(data, ports, REDIS_URL="redis://h:abc/0").stderr
    kafka = fresh(data, ports, "--binder", "kafka", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:99999999")
    assert "KAFKA_BOOTSTRAP_SERVERS must be host:port" in kafka.stderr
    assert "WEB_CONCURRENCY" in fresh(data, ports, WEB_CONCURRENCY="abc").stderr
    assert "WEB_THREADS" in fresh(data, ports, WEB_THREADS="0").stderr
    assert "there is no folder" in fresh(data, ports, "--picture", "no/such/run.svg").stderr
    assert (data / "kept" / "table").read_text() == "rows"
    # Nor is anything left beside the data.
    assert [path.name for path in data.parent.iterdir()] == [data.name]


def test_to_start_over_forgets_all_but_the_lock(data: Path) -> None:
    forget(data)
    assert [path.name for path in data.iterdir()] == [LOCK]


def test_whether_a_run_is_there_is_asked_without_a_trace(tmp_path: Path, data: Path) -> None:
    assert not is_running(tmp_path / "mistyped")
    assert not is_running(data)
    with locked(data):
        assert is_running(data)
    assert {path.name for path in tmp_path.iterdir()} == {data.name}


def test_a_folder_that_is_not_a_runs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    mode = tmp_path.stat().st_mode
    with pytest.raises(StackError, match="is not the data of a run"):
        make_data(tmp_path)
    with pytest.raises(StackError, match="is a file"):
        make_data(tmp_path / "letters.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
    assert tmp_path.stat().st_mode == mode


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"admin_password": 1}', b'{"admin_password": ""}']
)
def test_broken_secrets_are_named(content: bytes, data: Path) -> None:
    (data / SECRETS).write_bytes(content)
    with pytest.raises(StackError, match=rf"{SECRETS}.* start over with --fresh") as raised:
        Secrets.load(data / SECRETS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"kafka": -1}), json.dumps({"kafka": "9092"})])
def test_broken_ports_are_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text(content)
    with pytest.raises(StackError, match=r"ports\.json.* delete it"):
        RememberedPorts(file)
