"""What does not know the platform does not name one, and the name of the dead-letter topic is the same everywhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from event_stream.conf import Binding, dead_letter_binding

ROOT = Path(__file__).parents[3]
_PLATFORM = re.compile(r"kafka|rabbit", re.IGNORECASE)
_KNOWS_THE_PLATFORM = (
    "event_stream/binders/*",
    "licensing_project/licensing_project/settings.py",
    "org_project/org_project/settings.py",
)
_TYPES = {
    "kafka",
    "event_stream.binders.kafka.binder.KafkaBinder",
    "rabbitmq",
    "event_stream.binders.rabbitmq.binder.RabbitBinder",
}
"""What a setting calls a binder, and where that is: `event_stream.messaging.channel.TYPES`."""


def neutral_modules() -> list[Path]:
    return [
        path
        for package in ("event_stream", "licensing_project", "org_project")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not any(path.relative_to(ROOT).match(known) for known in _KNOWS_THE_PLATFORM)
        and "binders" not in path.relative_to(ROOT).parts
    ]


def texts(tree: ast.Module) -> Iterator[str]:
    """String literals, those inside of f-strings too, without docstrings: these may give an example."""
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.value


def test_no_text_names_a_platform() -> None:
    modules = neutral_modules()
    assert len(modules) > 80
    named = {
        f"{path.relative_to(ROOT)}: {text!r}"
        for path in modules
        for text in texts(ast.parse(path.read_text()))
        if _PLATFORM.search(text) and text not in _TYPES
    }
    assert named == set()


def test_a_text_that_names_one_would_be_found() -> None:
    tree = ast.parse('"""Kafka, say."""\nprint("the broker", f"{1} of Kafka")')
    assert [text for text in texts(tree) if _PLATFORM.search(text)] == [" of Kafka"]


@pytest.mark.parametrize(
    ("file", "topic", "group"),
    [
        ("deploy/kafka/topics.yaml", "orgChangeTopic", "licensingGroup"),
        ("deploy/kafka/acls.yaml", "orgChangeTopic", "licensingGroup"),
        ("deploy/compose.yaml", "${ORG_CHANGE_TOPIC:-orgChangeTopic}", "${LICENSING_GROUP:-licensingGroup}"),
        ("examples/audit_journal/topics.yaml", "orgChangeTopic", "auditJournal"),
    ],
)
def test_the_dead_letter_topic_is_deployed_by_its_name(file: str, topic: str, group: str) -> None:
    text = (ROOT / file).read_text()
    name = dead_letter_binding(Binding("inbound", topic, "any", group=group)).destination
    assert name in text
    # Nor is there another that looks like one.
    assert set(re.findall(r"[\w.${}:-]+\.dlq\b", text)) - {name} <= {"<topic>.<group>.dlq"}
