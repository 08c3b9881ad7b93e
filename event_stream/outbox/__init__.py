"""The transactional outbox: a message is written in the transaction of the change it tells of, and sent afterwards.

`emit` and `emit_many` write; `triggers` cover the writes that go round them; a relay sends.
"""

from event_stream.outbox.api import emit, emit_many, share_correlation_id

__all__ = ["emit", "emit_many", "share_correlation_id"]
