"""The gateway: the machine's nginx with deploy/nginx/gateway.conf.template, in a folder of its own."""

import http.client
import os
import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from devstack.environment import ROOT, server_environment
from devstack.errors import StackError
from devstack.ports import free_port
from devstack.process import SupervisedProcess

TEMPLATE = ROOT / "deploy" / "nginx" / "gateway.conf.template"

# nginx is in no wheel; Debian puts it where only root's PATH leads.
_FOLDERS_BESIDE_PATH = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")

# On one machine everybody comes from 127.0.0.1: no limits there, and the admin is reached. No proxy is in front.
_DEFAULTS = {
    "GATEWAY_PUBLIC_SCHEME": "http",
    "GATEWAY_PROXY": "unix:",
    "GATEWAY_RATE": "100r/s",
    "GATEWAY_BURST": "200",
    "GATEWAY_CONNECTIONS": "64",
    "GATEWAY_UNLIMITED_FROM": "127.0.0.1/32",
    "GATEWAY_ADMIN_FROM": "127.0.0.1/32",
}

# Its paths are below the folder that -p names, which may have a blank in its name.
_MAIN = """\
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include gateway.conf;
}}
"""


class NginxMissing(StackError):  # noqa: N818 - an absence, which callers turn into a skipped test
    """There is no nginx on this machine."""


def nginx_program() -> Path:
    """The nginx binary; NginxMissing if there is none."""
    for path in (None, ":".join(_FOLDERS_BESIDE_PATH)):
        found = shutil.which("nginx", path=path)
        if found:
            return Path(found)
    raise NginxMissing("The gateway needs nginx, which this machine doesn't have: install the package `nginx`.")


class Nginx(SupervisedProcess):
    """The gateway on 127.0.0.1:`port`, in front of the two services on their ports; `settings` are the template's."""

    def __init__(
        self,
        data_dir: Path,
        *,
        organization_port: int,
        licensing_port: int,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        name: str = "gateway",
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._values = {
            **_DEFAULTS,
            "GATEWAY_PORT": f"127.0.0.1:{self.port}",
            "ORGANIZATION_UPSTREAM": f"127.0.0.1:{organization_port}",
            "LICENSING_UPSTREAM": f"127.0.0.1:{licensing_port}",
            **(settings or {}),
        }
        super().__init__(
            name,
            [nginx_program(), "-p", data_dir, "-e", "stderr", "-c", data_dir / "nginx.conf"],
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=self._answers,
            port=self.port,
            env=server_environment(),
            # Ends what is under way; SIGTERM would cut it off.
            stop_signal=signal.SIGQUIT,
        )

    def spawn(self) -> "Nginx":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        (self.data_dir / "nginx.conf").write_text(_MAIN.format(user=_user()))
        (self.data_dir / "gateway.conf").write_text(render(TEMPLATE.read_text(), self._values))
        return super().spawn()

    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


def _user() -> str:
    """Root's workers would become www-data, who may not get into the folder where large bodies are put."""
    return "user root;" if os.geteuid() == 0 else ""


def render(template: str, values: dict[str, str]) -> str:
    """Does the same as the nginx image's entrypoint: `${NAME}` becomes the value. A KeyError for a name without one."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values[found[1]], template)
