"""What is sent in the place of an entry that can't be, so that whoever keeps copies lets go of them."""

import logging
from concurrent.futures import Future

from event_stream import correlation
from event_stream.bindable import source
from event_stream.message import Message, Receipt
from event_stream.outbox.owner import functions
from event_stream.outbox.store import Entry

logger = logging.getLogger("event_stream.outbox")


class StandIns:
    """For the bindings whose owner says in `producer.stand_in` what the least is that such a message has to tell."""

    def __init__(self) -> None:
        self._makers = functions("stand_in")

    def send(self, entry: Entry) -> "Future[Receipt] | None":
        """Under the key of the entry, and so to its partition. None where nothing can stand in for it."""
        make = self._makers.get(entry.binding)
        if make is None:
            return None
        try:
            # Of the headers the one that ties a transaction together: another may be what made the entry too large.
            headers = {correlation.CORRELATION_ID: entry.correlation_id}
            message = Message(make(entry.payload), key=entry.key or None, headers=headers)
            with correlation.use(entry.context()):
                return source(entry.binding).send(message)
        except Exception:
            # Whatever is wrong with one message, or with its owner's function, the relay goes on with the others.
            logger.exception("outbox.no_stand_in", extra={"binding": entry.binding, "key": entry.key})
            return None
