"""What a message passes through on its way out."""

import dataclasses
from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from event_stream import Binding, ConfigurationError, Message, decode, encode
from event_stream.conf import ProducerSettings
from event_stream.messaging.message import ConsumerRecord


def exclaim(message: Message[str]) -> Message[str]:
    return dataclasses.replace(message, payload=message.payload + "!", headers={**message.headers, "loud": "yes"})


def ask(message: Message[str]) -> Message[str]:
    return dataclasses.replace(message, payload=message.payload + "?", key="asked")


EXCLAIM, ASK = f"{__name__}.exclaim", f"{__name__}.ask"


def binding(*interceptors: str) -> Binding:
    return Binding("out", "d", "memory", producer=ProducerSettings(interceptors=interceptors))


def test_a_message_passes_through_them_in_order() -> None:
    out = encode(binding(EXCLAIM, ASK), Message("hello", key="k"))
    told = decode(binding(), ConsumerRecord("d", 0, 0, out.key, out.value, out.headers, 0))
    assert (told.payload, told.key, told.headers["loud"]) == ("hello!?", "asked", "yes")


def test_one_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"\['interceptors'\] has 'no.such'; it should be the dotted path of"):
        encode(binding("no.such"), Message("hello"))


@pytest.mark.parametrize("wrong", ["no.such", f"{__name__}.EXCLAIM"])
def test_the_system_check_finds_one_that_is_none(settings: Settings, wrong: str) -> None:
    setting: dict[str, Any] = {"destination": "d", "producer": {"interceptors": [EXCLAIM, wrong]}}
    settings.EVENT_STREAM = {"binders": {"memory": {"type": "memory"}}, "bindings": {"out": setting}}
    [error] = [each for each in checks.run_checks() if each.id == "event_stream.E005"]
    assert f"EVENT_STREAM['bindings']['out']['producer']['interceptors'] has '{wrong}'" in error.msg
