"""Both Valkeys of the compose file as it starts them, on a real server: the cache's users, the events' topics."""

import subprocess
import sys
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path

import pytest
import redis

from devstack.environment import server_environment
from devstack.ports import free_port
from devstack.process import SupervisedProcess
from devstack.wheels import valkey_server
from event_stream.binders.redis.binder import RedisBinder
from event_stream.conf import Binding
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


def started(options: list[str], port: int, folder: Path, ready: Callable[[], bool]) -> SupervisedProcess:
    """With the options of the compose file."""
    argv = [str(valkey_server()), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    return SupervisedProcess("Valkey", argv, log=folder / "valkey.log", ready=ready, env=server_environment())


def test_the_topics_of_redis_streams_are_made_once(tmp_path: Path) -> None:
    variables, port = filled_in(), free_port()
    services = compose(variables)["services"]
    (_, *options) = services["events"]["command"]
    (_, _, url, *topics) = services["events-topics"]["command"]
    here = url.replace("@events:6379", f"@127.0.0.1:{port}")

    def ready() -> bool:
        try:
            with redis.Redis.from_url(here) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def make(*topics: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, DEPLOY / "redis/make_topics.py", here, *topics]
        return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)

    with started(options, port, tmp_path, ready):
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        for _ in range(2):
            made = make(*topics)
            assert (made.returncode, made.stderr) == (0, "")
            assert made.stdout.splitlines() == [f"{name.split(':')[0]} is there: 6 partitions" for name in topics]
        other = make("orgChangeTopic:5:1000")
        assert (other.returncode, "has 6 partitions where 5 are wanted" in other.stderr) == (1, True)
        # The services are told where it is, and not to make anything.
        producer = RedisBinder("its", {"url": here}).producer(Binding("b", "orgChangeTopic", "its"))
        assert producer.partition_count("orgChangeTopic") == 6
        producer.close(1)


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

    with started(options, port, tmp_path, ready):
        for login in ("", f"default:{variables['VALKEY_PASSWORD']}@", "licensing:wrong@"):
            with pytest.raises(redis.AuthenticationError):
                answers(login)
