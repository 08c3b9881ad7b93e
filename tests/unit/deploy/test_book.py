"""docs/book.md names each part of the book's chapter, and what it says of ours is in the file beside it."""

import re

import pytest

from devstack.environment import ROOT

PAGE = ROOT / "docs" / "book.md"
TEXT = PAGE.read_text()
PARTS = (
    "@EnableBinding",
    "@StreamListener",
    "@Input",
    "@Output",
    "Source",
    "Sink",
    "Binder",
    "MessageChannel",
    "MessageBuilder",
    "SubscribableChannel",
    "SimpleSourceBean",
    "OrganizationChangeModel",
    "OrganizationChangeHandler",
    "ActionEnum",
    "OrganizationRedisRepository",
    "OrganizationRestTemplateClient",
    "RedisTemplate",
    "@RedisHash",
    "UserContext",
    "UserContextFilter",
    "UserContextHolder",
    "UserContextInterceptor",
    "tmx-correlation-id",
    "tmx-user-id",
    "tmx-org-id",
    "@RefreshScope",
    "@EnableResourceServer",
    "spring.cloud.stream.bindings.output.destination",
    "spring.cloud.stream.bindings.input.destination",
    "spring.cloud.stream.bindings.input.group",
    "spring.cloud.stream.bindings.output.content-type",
    "spring.cloud.stream.kafka.binder.brokers",
    "redis.server",
    "docker-compose.yml",
)
ROWS = [line.strip("|").split(" | ") for line in TEXT.splitlines() if line.startswith("| ") and "](" in line]
_CODE = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"\]\(([^)#]+)")
_WORD = re.compile(r"[A-Za-z_][\w/<>.-]*\w")


def test_each_part_of_the_chapter_is_named() -> None:
    assert [part for part in PARTS if part not in TEXT] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row[0])[:40])
def test_the_names_of_a_row_are_in_its_files(row: list[str]) -> None:
    """The last cell has the files, the one before it the names."""
    *_, names, files = row
    texts = "".join(PAGE.parent.joinpath(path).read_text() + path for path in _FILE.findall(files))
    words = [word for code in _CODE.findall(names) for word in _WORD.findall(code) if word not in _FREE]
    assert [word for word in words if word not in texts] == []


# Of a call or a command, what is no name of ours.
_FREE = {"manage.py", "message", "versions", "class", "def", "manage_scripts/run"}
