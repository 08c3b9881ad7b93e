"""Django signals for what the event layer does: what metrics, traces and the operations pages are built on.

An app connects its receivers in `AppConfig.ready`. A receiver runs in the thread that did the work, so it must be
quick; one that raises is logged by Django (logger "django.dispatch"), and the work goes on. The sender is the class.
"""

from django.dispatch import Signal

command_started = Signal()
"""`role` ("worker" or "relay"): a process for it alone begins, and has not waited for any server yet. The sender is
its command. Sent by `send`: a receiver that raises CommandError ends the process."""

worker_polled = Signal()
"""`worker`: one round of its loop is over; at least twice a second, also while a platform is away."""

worker_stopped = Signal()
"""`worker`: it has left the group."""

records_received = Signal()
"""`worker`, `records` (by partition), `seconds`: a poll that took this long has brought some."""

batch_begun = Signal()
"""`worker`, `batch`: a partition's batch is about to be handled; `batch_ended` follows on the same thread."""

batch_ended = Signal()
"""`worker`, `batch`, `error` (or None): whatever came of it, before its offsets are committed."""

batch_handled = Signal()
"""`worker`, `batch`, `outcome` (Handled), `received_at_ms` (since the Unix epoch), `seconds`: done and committed."""

partition_paused = Signal()
"""`worker`, `partition` (its number), `pause_s`, `error`: a server that the handler needs is away; for each attempt."""

partition_resumed = Signal()
"""`worker`, `partition`: the handler has succeeded again."""

record_rejected = Signal()
"""No sender. `record` (ConsumerRecord), `error`: it was given up, and parked where the binding has dead letters."""

letter_settled = Signal()
"""No sender. `letter` (DeadLetterSummary), `receipt` (RecordMetadata; None where it was discarded): a person has
replayed or discarded a dead letter, and it is marked."""

relay_polled = Signal()
"""`relay`: one round of its loop is over, as the leader, waiting to be, or without a database that answers."""

entries_published = Signal()
"""`entries`, `receipts`, `published_at`, `seconds`: those with a receipt (by id) are on the platform, and marked.

`published_at` has the times, also by id; `seconds` is how long it took to send them.
"""

entry_parked = Signal()
"""`entry`, `error`: an entry of the outbox that can't be sent is out of the way."""

lookup_answered = Signal()
"""`id`, `found` (Found or None), `error` (or None), `seconds`: one lookup through the cache, a hit or not."""

changes_applied = Signal()
"""`partition`, `changes` (of Change), `applied_at_ms` (since the Unix epoch): what they name is evicted. The same
changes may be told again after a crash."""

origin_called = Signal()
"""`outcome` ("answered", "refused", or the cause of the failure), `attempt` (from 1), `seconds`: the origin was asked
for a value, or was not because its circuit is open or too many ask already."""

circuit_changed = Signal()
"""`circuit` ("cache", "cache_writes" or "origin"), `is_open`: a server is left alone, still or no longer."""

cache_filled = Signal()
"""`id`, `version`, `outcome` (FillOutcome; None where Redis is away): the origin's answer was offered to the cache."""
