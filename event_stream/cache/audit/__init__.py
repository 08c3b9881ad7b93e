"""Is the cache as consistent as it promises? Measured on the running system, from outside of the protocol.

`ChangeAudit` follows the log and reads each changed id again, a while after; `sweep` asks the origin about every entry.
"""

from event_stream.cache.audit.changes import ChangeAudit
from event_stream.cache.audit.sweep import Finding, Verdict, sweep
from event_stream.cache.audit.tally import Tally

__all__ = ["ChangeAudit", "Finding", "Tally", "Verdict", "sweep"]
