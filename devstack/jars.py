"""Kafka's jars: resolved by jgo, checked against the lock file, and never asked for again.

`deploy/kafka/jgo.lock.toml` names every jar with its SHA-256. To change the version: edit `deploy/kafka/jgo.toml`,
run `python -m devstack.jars`, and commit the new lock file.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from devstack.environment import LOCAL, ROOT
from devstack.errors import JarsUnavailableError

_WANTED = ROOT / "deploy" / "kafka" / "jgo.toml"
LOCK = ROOT / "deploy" / "kafka" / "jgo.lock.toml"
_JARS = LOCAL / "jars"
# jgo speaks TLS with the certificates that `certifi` ships; those of the machine (a company's proxy) are what count.
_JGO = "import truststore; truststore.inject_into_ssl(); from jgo.__main__ import main; raise SystemExit(main())"

Progress = Callable[[int, int], None]
_failures: list[JarsUnavailableError] = []
"""This process' own; the first is enough."""


def class_path(progress: Progress | None = None) -> str:
    """Kafka's class path. `progress(fetched, of)` is called while jars are fetched, which is once per machine."""
    if _failures:
        # A host that could not be reached a moment ago need not be asked again.
        raise _failures[0]
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "jars.lock").open("w") as lock:
        # Two commands may start at once: one fetches, the other one waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _complaint(_JARS):
            try:
                _fetch(progress or (lambda _fetched, _of: None))
            except JarsUnavailableError as error:
                _failures.append(error)
                raise
    return os.pathsep.join(str(jar) for jar in sorted(_JARS.iterdir()))


def are_missing() -> bool:
    """Whether they are to be fetched first."""
    return _complaint(_JARS) is not None


def _fetch(progress: Progress) -> None:
    work = LOCAL / "jars.new"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    shutil.copy(_WANTED, work / _WANTED.name)
    _run_jgo(work, progress)
    unpacked = work / "flat"
    unpacked.mkdir()
    for jar in (work / "environment").glob("*/*.jar"):
        jar.rename(unpacked / jar.name)
    complaint = _complaint(unpacked)
    if complaint:
        raise JarsUnavailableError(f"Kafka's jars are not what {LOCK.name} says, and are not used: {complaint}.")
    shutil.rmtree(_JARS, ignore_errors=True)
    unpacked.rename(_JARS)
    shutil.rmtree(work)


def _run_jgo(work: Path, progress: Progress) -> None:
    """Resolve and fetch into `work/environment/{jars,modules}`."""
    argv = [sys.executable, "-c", _JGO, "--resolver", "python", "--links", "copy", "--no-cache"]
    argv += ["--cache-dir", str(work / "environment"), "--repo-cache", str(work / "repository"), "sync"]
    total, fetched, tail = len(_locked()), 0, deque[str](maxlen=5)
    with subprocess.Popen(
        argv,
        cwd=work,
        env=os.environ | {"COLOR": "plain"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as jgo:
        assert jgo.stdout is not None
        for line in jgo.stdout:
            tail.append(line.strip())
            if line.startswith("Downloading ") and ".jar" in line:
                fetched += 1
                progress(fetched, total)
    if jgo.returncode != 0:
        raise JarsUnavailableError(
            "Kafka's jars could not be fetched (is there a way to the internet?); "
            f"start Kafka yourself and set KAFKA_BOOTSTRAP_SERVERS, or try again. It said: {' '.join(tail)}"
        )


def _locked() -> dict[str, str]:
    """File name → SHA-256."""
    dependencies = tomllib.loads(LOCK.read_text())["dependencies"]
    return {f"{jar['artifactId']}-{jar['version']}.jar": jar["sha256"] for jar in dependencies}


def _complaint(folder: Path) -> str | None:
    """The differences between the jars in `folder` and the lock file; None if there are none."""
    locked = _locked()
    found = {jar.name for jar in folder.iterdir()} if folder.is_dir() else set()
    if missing := locked.keys() - found:
        return f"missing {', '.join(sorted(missing))}"
    if unknown := found - locked.keys():
        return f"unknown {', '.join(sorted(unknown))}"
    for name, checksum in locked.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != checksum:
            return f"{name} has another checksum"
    return None


def relock() -> None:
    """Resolve `jgo.toml` again and write the lock file."""
    work = LOCAL / "jars.new"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shutil.copy(_WANTED, work / _WANTED.name)
    _run_jgo(work, lambda fetched, _of: print(f"jar {fetched}"))
    shutil.copy(work / "environment" / LOCK.name, LOCK)
    shutil.rmtree(work)


if __name__ == "__main__":
    relock()
