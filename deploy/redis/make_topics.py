"""Make topics in Redis Streams where they are missing: python make_topics.py URL NAME:PARTITIONS:RETENTION_MS…

For the image of a service, which has the event layer and none of this project's scripts.
"""

import sys
from collections.abc import Sequence

from event_stream.conf import BinderSettings
from event_stream.errors import EventStreamError
from event_stream.messaging.binder import ensure_topic
from event_stream.messaging.channel import make_binder


def main(url: str, topics: Sequence[str]) -> int:
    for topic in topics:
        name, partitions, retention_ms = topic.rsplit(":", 2)
        settings = {"url": url, "partitions": int(partitions), "retention_ms": int(retention_ms)}
        try:
            found = ensure_topic(make_binder(BinderSettings("making", "redis", settings)), name)
        except EventStreamError as error:
            sys.stderr.write(f"{name} can't be made: {error}\n")
            return 1
        if found != int(partitions):
            sys.stderr.write(f"{name} has {found} partitions where {partitions} are wanted; it is left alone\n")
            return 1
        sys.stdout.write(f"{name} is there: {found} partitions\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
