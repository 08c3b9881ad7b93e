"""The users of deploy/redis/users.acl, as the compose file tells Valkey of them, on a real server."""

from itertools import groupby, pairwise
from pathlib import Path

import pytest
import redis

from manage_scripts.stack.environment import server_environment
from manage_scripts.stack.ports import free_port
from manage_scripts.stack.process import SupervisedProcess
from manage_scripts.stack.wheels import valkey_server
from tests.deploy.compose_file import DEPLOY, compose, filled_in


def users_of(command: list[str]) -> list[list[str]]:
    """The words after each `--user`."""
    parts = [list(words) for _, words in groupby(command, key=lambda word: word.startswith("--"))]
    return [words for option, words in pairwise(parts) if option[-1] == "--user"]


def test_the_compose_file_has_the_users_of_users_acl() -> None:
    variables = filled_in()
    users = (DEPLOY / "redis/users.acl").read_text().replace("${VALKEY_PASSWORD}", variables["VALKEY_PASSWORD"])

    assert users_of(compose(variables)["services"]["valkey"]["command"]) == [
        line.split()[1:] for line in users.splitlines()
    ]


def test_valkey_lets_licensing_in_and_nobody_else(tmp_path: Path) -> None:
    variables, port = filled_in(), free_port()
    (_, *options) = compose(variables)["services"]["valkey"]["command"]

    def answers(login: str = f"licensing:{variables['VALKEY_PASSWORD']}@") -> bool:
        with redis.Redis.from_url(f"redis://{login}127.0.0.1:{port}/0") as client:
            return bool(client.ping())

    def ready() -> bool:
        try:
            return answers()
        except redis.ConnectionError:
            return False

    argv = [str(valkey_server()), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with SupervisedProcess("Valkey", argv, log=tmp_path / "valkey.log", ready=ready, env=server_environment()):
        for login in ("", f"default:{variables['VALKEY_PASSWORD']}@", "licensing:wrong@"):
            with pytest.raises(redis.AuthenticationError):
                answers(login)
