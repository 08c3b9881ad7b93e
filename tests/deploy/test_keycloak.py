"""The realm that compose.yaml gives to Keycloak says what the services are told to believe; its token is renewed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from devstack.waiting import wait_until
from service_kit.auth.roles import ADMIN, USER
from service_kit.auth.settings import DEFAULT_ALGORITHMS, KEYCLOAK_ROLES
from tests.deploy.compose_file import DEPLOY, compose, filled_in

REALM: dict[str, Any] = json.loads((DEPLOY / "keycloak/realm.json").read_text())
CLIENTS = {client["clientId"]: client for client in REALM["clients"]}
SCRIPT = DEPLOY / "keycloak/renew_token.py"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose(filled_in())["services"]
    return found


def test_the_services_believe_this_realm(services: dict[str, dict[str, Any]]) -> None:
    keycloak = services["keycloak"]["environment"]
    for name in ("organization", "licensing", "worker"):
        settings = services[name]["environment"]
        assert settings["AUTH_ISSUER"] == f"{keycloak['KC_HOSTNAME']}/realms/{REALM['realm']}"
        keys = urlsplit(settings["AUTH_JWKS_URL"])
        assert (keys.hostname, keys.port) == ("keycloak", 8080)
        assert keys.path == f"/realms/{REALM['realm']}/protocol/openid-connect/certs"
        # Only then may the two names differ.
        assert keycloak["KC_HOSTNAME_BACKCHANNEL_DYNAMIC"] == "true"
        assert "AUTH_ROLES_CLAIM" not in settings
    assert str(urlsplit(keycloak["KC_HOSTNAME"]).port) in services["keycloak"]["ports"][0]
    assert REALM["defaultSignatureAlgorithm"] in DEFAULT_ALGORITHMS


def test_its_roles_are_those_that_the_services_know() -> None:
    assert {role["name"] for role in REALM["roles"]["realm"]} == {USER, ADMIN}
    # Keycloak's built-in scope `roles` puts them there, `basic` the claim sub.
    assert KEYCLOAK_ROLES == "realm_access.roles"
    for client in CLIENTS.values():
        assert {"basic", "roles"} <= set(client["defaultClientScopes"])
    assert "clientScopes" not in REALM, "with any of its own, a realm has none of the built-in ones"


@pytest.mark.parametrize("client", CLIENTS)
def test_tokens_of_each_client_are_made_for_the_services(services: dict[str, dict[str, Any]], client: str) -> None:
    [audience] = [
        mapper["config"]
        for mapper in CLIENTS[client]["protocolMappers"]
        if mapper["protocolMapper"] == "oidc-audience-mapper"
    ]
    assert audience["included.custom.audience"] == services["licensing"]["environment"]["AUTH_AUDIENCE"]
    assert audience["access.token.claim"] == "true"


OWN_CLIENTS = {"organization": ["organization"], "licensing": ["licensing", "worker", "meter"]}
"""Of each service, and who uses its token."""


def test_no_secret_is_in_the_file(services: dict[str, dict[str, Any]]) -> None:
    assert "users" not in REALM
    own = {f"{service}-service": f"{service.upper()}_CLIENT_SECRET" for service in OWN_CLIENTS}
    for name, client in CLIENTS.items():
        assert client.get("publicClient") or client["secret"] == f"${{{own[name]}}}"
    for service, users in OWN_CLIENTS.items():
        variable = own[f"{service}-service"]
        assert services["keycloak"]["environment"][variable] == filled_in()[variable]
        assert services[f"{service}-token"]["environment"]["CLIENT_SECRET"] == filled_in()[variable]
        assert not any(filled_in()[variable] in json.dumps(services[user]) for user in users)


@pytest.mark.parametrize(("service", "users"), OWN_CLIENTS.items())
def test_each_service_has_an_account_of_its_own_without_any_role(
    services: dict[str, dict[str, Any]], service: str, users: list[str]
) -> None:
    renewer = services[f"{service}-token"]
    client = CLIENTS[renewer["environment"]["CLIENT_ID"]]
    assert client["serviceAccountsEnabled"]
    assert not client["publicClient"]
    assert not (client["standardFlowEnabled"] or client["directAccessGrantsEnabled"])
    url = f"http://keycloak:8080/realms/{REALM['realm']}/protocol/openid-connect/token"
    assert renewer["environment"]["TOKEN_URL"] == url
    assert services["keycloak"]["profiles"] == renewer["profiles"] == ["keycloak"]
    # Written by the one, read by the others.
    path = renewer["environment"]["TOKEN_FILE"]
    for name in users:
        assert services[name]["environment"]["TRACE_TOKEN_FILE"] == path
        assert f"{service}-token:{Path(path).parent}:ro" in services[name]["volumes"]
    assert f"{service}-token:{Path(path).parent}" in renewer["volumes"]


def test_licensing_looks_organizations_up_with_its_own_token(services: dict[str, dict[str, Any]]) -> None:
    for name in OWN_CLIENTS["licensing"]:
        environment = services[name]["environment"]
        assert environment["ORGANIZATION_TOKEN_FILE"] == environment["TRACE_TOKEN_FILE"]


class TokenEndpoint:
    """Gives a new token to each who knows the secret; while `away`, to nobody."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[tuple[str, str]] = []
        self.url = ""


@contextmanager
def running() -> Iterator[TokenEndpoint]:
    endpoint = TokenEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            endpoint.asked.append((self.headers["Authorization"], form))
            token = {"access_token": f"token-{len(endpoint.asked)}", "expires_in": 1}
            body = b"away" if endpoint.away else json.dumps(token).encode()
            self.send_response(503 if endpoint.away else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/token"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_token_is_renewed_and_stays_while_the_issuer_is_away(tmp_path: Path) -> None:
    file = tmp_path / "token"

    def holds(*tokens: str) -> bool:
        return file.exists() and file.read_text() in tokens

    with running() as endpoint:
        environment = {
            "PATH": os.environ["PATH"],
            "TOKEN_URL": endpoint.url,
            "CLIENT_ID": "licensing-service",
            "CLIENT_SECRET": "hush",
            "TOKEN_FILE": str(file),
        }
        with (tmp_path / "log").open("w") as log:
            renewer = subprocess.Popen([sys.executable, SCRIPT], env=environment, stderr=log)
        try:
            assert wait_until(lambda: file.exists() and file.read_text() != "token-1", within_s=30)
            endpoint.away = True
            asked = len(endpoint.asked)
            assert wait_until(lambda: len(endpoint.asked) > asked, within_s=30)
            assert holds(*(f"token-{number}" for number in range(1, asked + 1)))
        finally:
            renewer.terminate()
            assert renewer.wait(30) == 0
    assert endpoint.asked[0] == ("Basic bGljZW5zaW5nLXNlcnZpY2U6aHVzaA==", "grant_type=client_credentials")
    assert file.stat().st_mode & 0o077 == 0
    said = (tmp_path / "log").read_text()
    assert "token.renewed" in said
    assert "token.not_renewed" in said
    assert "hush" not in said
    assert "token-1" not in said


def test_the_renewer_names_what_it_lacks() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "TOKEN_URL is not set.\n")
