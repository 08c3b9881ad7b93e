"""Ports on 127.0.0.1: free ones for the backing servers, and a clear word where a wanted one is taken."""

import argparse
import json
import random
import socket
from contextlib import closing
from pathlib import Path

import psutil

from devstack.errors import PortTakenError, StackError

# Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections: a port picked
# here can't be handed to somebody's client between the moment it is picked and the moment the server binds it.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200

_handed_out: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def accepts(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Whether somebody accepts connections on `host`:`port`."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def listens(pid: int, port: int) -> bool:
    """Whether the process `pid`, or one below it, is among those that listen on 127.0.0.1:`port`."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    return any(_listens(process, port) for process in family)


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        connections = process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port for connection in connections)


def free_port() -> int:
    """A free port that this process has not handed out before."""
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise StackError(f"No free port was found between {_LOWEST} and {_HIGHEST} in {_TRIES} tries.")


def require_free(port: int, *, purpose: str, choose_with: str) -> int:
    """`port` itself, or `PortTakenError` that says how to choose another one."""
    if not is_free(port):
        raise PortTakenError(
            f"Port {port}, wanted for {purpose}, is already in use: choose another one with {choose_with}."
        )
    _handed_out.add(port)
    return port


def port_argument(text: str) -> int:
    """For `type=` of argparse."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise argparse.ArgumentTypeError(f"should be a port, 1 to 65535, not {text!r}")
    return int(text)


def _read(file: Path) -> dict[str, int]:
    try:
        ports = json.loads(file.read_text())
    except ValueError as error:
        raise StackError(f"The ports of the run, {file}, can't be read ({error}): delete it, for others.") from None
    if not isinstance(ports, dict) or not all(type(port) is int and 0 < port < 65536 for port in ports.values()):
        raise StackError(f"The ports of the run, {file}, should be numbers with names: delete it, for others.")
    return ports


class RememberedPorts:
    """Free ports that stay the same from one run to the next for as long as nobody else takes them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ports = _read(file) if file.exists() else {}

    def __getitem__(self, name: str) -> int:
        port = self._ports.get(name)
        if port is None or port in _handed_out or not is_free(port):
            port = free_port()
        _handed_out.add(port)
        self._ports[name] = port
        self._file.write_text(json.dumps(self._ports, indent=2) + "\n")
        return port
