"""A service on Spring Cloud Stream 4.2 that reads and sends organization changes, built by Maven from `pom.xml`.

It is the other end of the deep tests. Where it can't be had, they are skipped, and say why.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from devstack.environment import LOCAL
from devstack.waiting import wait_until

_PROJECT = Path(__file__).parent
_NAME = "organization-changes.jar"
DEADLINE_S = 60.0
_END_S = 30.0


def jar() -> Path:
    """The service, built if it has changed. Skips the test where there is no Maven, or no way to Maven's artifacts."""
    if not os.environ.get("SPRING_CLOUD_STREAM"):
        pytest.skip("--deep runs a Spring Cloud Stream service")
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("there is no Maven with a JDK: install both to have a Spring Cloud Stream service run")
    target = LOCAL / "spring_cloud_stream" / _fingerprint()
    if not (target / _NAME).exists():
        argv = ["mvn", "--batch-mode", "--quiet", f"-DbuildDirectory={target}", "package"]
        build = subprocess.run(argv, cwd=_PROJECT, capture_output=True, text=True, check=False)
        if build.returncode != 0:
            assert "COMPILATION ERROR" not in build.stdout, build.stdout
            pytest.skip(f"Maven could not build the Spring Cloud Stream service: {build.stdout[:500]}")
    return target / _NAME


def _fingerprint() -> str:
    sources = [_PROJECT / "pom.xml", *sorted((_PROJECT / "src").rglob("*.java"))]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]


class SpringCloudStream:
    """One running service on a topic, from the topic's start."""

    def __init__(self, bootstrap_servers: str, topic: str, folder: Path) -> None:
        binding = "--spring.cloud.stream.bindings"
        self._argv = [
            *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", str(jar())),
            f"--spring.cloud.stream.kafka.binder.brokers={bootstrap_servers}",
            "--spring.cloud.stream.kafka.binder.auto-create-topics=false",
            f"{binding}.changes-in-0.destination={topic}",
            f"{binding}.changes-in-0.group=springCloudStream",
            # What it can't read is seen at once.
            f"{binding}.changes-in-0.consumer.max-attempts=1",
            f"{binding}.output.destination={topic}",
            "--spring.main.banner-mode=off",
            "--logging.level.root=ERROR",
        ]
        self._output = folder / "spring_cloud_stream.log"
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        with self._output.open("w") as output:
            # It ends with its input, and so with this process.
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, text=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def read(self) -> list[dict[str, Any]]:
        """The changes that its function was called with so far, as it sees them."""
        lines = [line for line in self._output.read_text().splitlines(keepends=True) if line.startswith('{"read"')]
        return [json.loads(line)["read"] for line in lines if line.endswith("\n")]

    def send(self, **change: str | None) -> None:
        """By its own producer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(change) + "\n")
        self._process.stdin.flush()

    def wait_for(self, action: str, organization_id: str | None = None) -> None:
        """Until it has read that."""

        def has_read() -> bool:
            assert self._process.poll() is None, self._output.read_text()
            return any(
                change["action"] == action and organization_id in {None, change["organizationId"]}
                for change in self.read
            )

        assert wait_until(has_read, within_s=DEADLINE_S), f"no {action}: {self._output.read_text()[:5000]}"
