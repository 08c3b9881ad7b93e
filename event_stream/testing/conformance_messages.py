"""That messages in each notation come through a binder as they were sent. A part of BinderConformance."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from event_stream.bindable import decode, encode
from event_stream.binding import HeaderFormat
from event_stream.cloudevents import CloudEventsConverter, attributes
from event_stream.converter import register
from event_stream.message import Message

if TYPE_CHECKING:
    from event_stream.testing.conformance import Bench

PAYLOAD: Any = {"name": "한국어 🚀 naïve", "empty": "", "none": None, "deep": [{"a": [1, 2.5, True]}]}
EVENT = attributes(id="e-1", source="/things", type="org.example.changed", subject="né")


class MessageConformance:
    """Headers and content types."""

    @pytest.mark.parametrize(
        ("header_format", "content_type"),
        [
            ("spring", "application/json"),
            ("plain", "application/json"),
            ("cloudevents", "application/json"),
            ("cloudevents", "application/cloudevents+json"),
        ],
    )
    def test_a_message_is_the_same_at_the_other_end(
        self, bench: "Bench", header_format: HeaderFormat, content_type: str
    ) -> None:
        register(CloudEventsConverter())
        headers = {"tmx-correlation-id": "c-1", "note": '"quoted" 한국', "blank": "", **EVENT}
        sent: Message[Any] = Message(PAYLOAD, "clé-🚀", headers)
        binding = replace(bench.binding, header_format=header_format, content_type=content_type)
        bench.producer.send(encode(binding, sent))
        [record] = bench.reader().read(1)
        found = decode(bench.binding, record)
        assert (found.payload, found.key) == (PAYLOAD, "clé-🚀")
        assert found.headers == {**headers, "contentType": "application/json"}
