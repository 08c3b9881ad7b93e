"""Sources, sinks, channels and binders: messages between applications that know no platform.

What is imported here needs neither Django's settings nor a client library before it is used.
"""

from event_stream.conf import Binding
from event_stream.consumer.handler import Batch, BatchHandler, Handled, SeekTo
from event_stream.consumer.sink import Sink
from event_stream.errors import (
    ConfigurationError,
    ConversionError,
    EventStreamError,
    PublishError,
    RejectedError,
    UnavailableError,
    UnsendableError,
)
from event_stream.messaging.channel import Channel
from event_stream.messaging.converters import decode, encode
from event_stream.messaging.message import ConsumerRecord, Message, ProducerRecord, RecordMetadata
from event_stream.messaging.source import Source, source

__all__ = [
    "Batch",
    "BatchHandler",
    "Binding",
    "Channel",
    "ConfigurationError",
    "ConsumerRecord",
    "ConversionError",
    "EventStreamError",
    "Handled",
    "Message",
    "ProducerRecord",
    "PublishError",
    "RecordMetadata",
    "RejectedError",
    "SeekTo",
    "Sink",
    "Source",
    "UnavailableError",
    "UnsendableError",
    "decode",
    "encode",
    "source",
]
