"""Sources, sinks, channels and binders: messages between applications that know no platform.

What is imported here needs neither Django's settings nor a client library before it is used.
"""

from event_stream.bindable import Sink, Source, decode, encode, source
from event_stream.binding import Binding
from event_stream.channel import Channel
from event_stream.errors import (
    ConfigurationError,
    ConversionError,
    EventStreamError,
    PublishError,
    RejectedError,
    UnavailableError,
    UnsendableError,
)
from event_stream.handler import Batch, BatchHandler, Handled, Rewind
from event_stream.message import Message, OutboundRecord, Receipt, Record

__all__ = [
    "Batch",
    "BatchHandler",
    "Binding",
    "Channel",
    "ConfigurationError",
    "ConversionError",
    "EventStreamError",
    "Handled",
    "Message",
    "OutboundRecord",
    "PublishError",
    "Receipt",
    "Record",
    "RejectedError",
    "Rewind",
    "Sink",
    "Source",
    "UnavailableError",
    "UnsendableError",
    "decode",
    "encode",
    "source",
]
