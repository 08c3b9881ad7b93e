"""RabbitMQ, where the machine has it: it is in no wheel, and Debian's package is `rabbitmq-server`."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devstack.environment import server_environment
from devstack.errors import StackError
from devstack.ports import accepts, free_port
from devstack.process import SupervisedProcess

# Debian's own on the PATH is a wrapper that becomes the user `rabbitmq`; what it wraps runs as anybody.
_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQMissing(StackError):  # noqa: N818 - an absence, which callers turn into a skipped test
    """There is no RabbitMQ on this machine."""


def rabbitmq_program() -> Path:
    """The program that starts a node. Raises RabbitMQMissing if there is none."""
    found = str(_DEBIAN) if _DEBIAN.exists() else shutil.which("rabbitmq-server")
    if found is None or shutil.which("epmd") is None:
        raise RabbitMQMissing("There is no RabbitMQ on this machine: install the package `rabbitmq-server`.")
    return Path(found)


class RabbitMQ(SupervisedProcess):
    """A node on 127.0.0.1 that knows of no other, its data in `data_dir`. `settings` are any of rabbitmq.conf's.

    Raises RabbitMQMissing.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        name: str = "RabbitMQ",
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._settings = dict(settings or {})
        epmd_port = free_port()
        # Erlang's own port mapper would outlive us, and serve other nodes of this machine.
        port_mapper = f"epmd -address 127.0.0.1 -port {epmd_port}"
        super().__init__(
            name,
            ["sh", "-c", f"{port_mapper} & exec {shlex.quote(str(rabbitmq_program()))}"],
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=lambda: accepts(self.port),
            port=self.port,
            env=server_environment(
                # Of the cookie that it makes.
                HOME=str(data_dir),
                ERL_EPMD_PORT=str(epmd_port),
                ERL_EPMD_ADDRESS="127.0.0.1",
                RABBITMQ_NODENAME=f"rabbit-{self.port}@localhost",
                RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
                RABBITMQ_NODE_PORT=str(self.port),
                RABBITMQ_DIST_PORT=str(free_port()),
                RABBITMQ_MNESIA_BASE=str(data_dir),
                RABBITMQ_LOG_BASE=str(data_dir),
                RABBITMQ_LOGS="-",
                RABBITMQ_CONFIG_FILE=str(data_dir / "rabbitmq"),
                RABBITMQ_ADVANCED_CONFIG_FILE=str(data_dir / "advanced"),
                RABBITMQ_ENABLED_PLUGINS_FILE=str(data_dir / "enabled_plugins"),
                # The settings of the machine's own node are not for this one.
                RABBITMQ_CONF_ENV_FILE="/dev/null",
            ),
            ready_within_s=120,
        )

    def spawn(self) -> "RabbitMQ":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        (self.data_dir / "enabled_plugins").write_text("[].\n")
        settings = {"log.console.level": "warning", **self._settings}
        (self.data_dir / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        return super().spawn()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def control(self, *command: str) -> None:
        """Run rabbitmqctl on the node. Raises StackError with what it says where it fails."""
        argv = [str(rabbitmq_program().with_name("rabbitmqctl")), *command]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=self.env)
        if done.returncode != 0:
            raise StackError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
