"""The transactional outbox: a message is written in the transaction of its change, and sent afterwards.

`emit` and `emit_many` write messages, `triggers` cover the writes that bypass them, and a relay sends the messages.
"""

from event_stream.outbox.api import emit, emit_many, share_correlation_id

__all__ = ["emit", "emit_many", "share_correlation_id"]
