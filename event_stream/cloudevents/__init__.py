"""CloudEvents 1.0 over any binding, as JSON, in both modes. Django app "event_stream.cloudevents".

    "bindings": {
        "structured": {..., "header_format": "cloudevents", "content_type": "application/cloudevents+json"},
        "binary":     {..., "header_format": "cloudevents", "content_type": "application/json"},
    }

A message's headers named `ce_...` are the attributes of the event; `attributes(...)` makes them. In structured mode
they go into the body, around the payload; in binary mode they are headers. What is read is the same message either way.
Reading needs no more than the app: a message says itself what it is.
"""

from event_stream.cloudevents.attributes import attributes
from event_stream.cloudevents.converter import CloudEventsConverter

__all__ = ["CloudEventsConverter", "attributes"]
