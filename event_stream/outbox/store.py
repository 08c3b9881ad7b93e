"""The relay's own connection to the database, and the statements it runs there."""

import json
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import connections

from event_stream import user_context
from event_stream.errors import ConfigurationError
from event_stream.messaging.message import JsonText, Message, RecordMetadata
from event_stream.process_name import process_name

Connection = psycopg.Connection[tuple[Any, ...]]

_UNSENT = "published_at IS NULL AND parked_at IS NULL"
# A machine that vanishes must lose its locks: either side notices within about 10 s.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}
_SESSION_CHECKS = 10
_SHARED = (
    "EVENT_STREAM_OUTBOX['database'] is '{alias}', which leads to a pooler in transaction mode. Sessions are shared "
    "there, and so is the lock that lets one relay lead: it should be an alias of DATABASES that leads to PostgreSQL "
    "itself, or to a pooler in session mode."
)
_SESSION = """
    SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
    SET idle_session_timeout = 0; SET default_transaction_isolation = 'read committed'
"""


def connect(alias: str) -> Connection:
    """Open a connection with the settings of DATABASES[alias]; each statement is a transaction of its own.

    It is not one of Django's connections: the relay holds it for as long as it runs. Raises ConfigurationError where a
    pooler gives its session to other connections, too.
    """
    connection = _open(alias)
    try:
        _require_own_session(connection, alias)
        connection.execute(_SESSION)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(alias: str) -> Connection:
    parameters: dict[str, Any] = {"connect_timeout": 5, **connections.create_connection(alias).get_connection_params()}
    # Django's own type adapters and cursors, which its queries need and these do not.
    for name in ("context", "cursor_factory"):
        parameters.pop(name)
    # A prepared statement fails for ever once a column that it returns has got another type.
    parameters |= {**_KEEPALIVE, "application_name": "outbox relay", "prepare_threshold": None}
    return psycopg.connect(**parameters, autocommit=True)


def _require_own_session(connection: Connection, alias: str) -> None:
    """Raise ConfigurationError where a pooler runs the connection's transactions on sessions that others use, too.

    A pooler makes up the process id that it tells at the login. Where the id is wrong, a second connection begins
    transactions: if the first has a session of its own, they never meet on one, and the first is never moved.
    """
    session = _backend_pid(connection)
    if session == connection.info.backend_pid:
        return
    with _open(alias) as other:
        for _ in range(_SESSION_CHECKS):
            with other.transaction():
                if _backend_pid(other) == session or _backend_pid(connection) != session:
                    raise ConfigurationError(_SHARED.format(alias=alias))


def _backend_pid(connection: Connection) -> int:
    return int(connection.execute("SELECT pg_backend_pid()").fetchall()[0][0])


@dataclass(frozen=True, slots=True)
class Entry:
    """An unsent row of the outbox."""

    id: int
    event_id: str
    binding: str
    key: str
    payload: JsonText
    headers: Mapping[str, str]
    version: int | None
    correlation_id: str
    written_at: datetime
    by_trigger: bool

    def message(self) -> Message[JsonText]:
        correlation_id = {user_context.CORRELATION_ID: self.correlation_id}
        headers = {**correlation_id, **self.headers, **correlation_id} if self.headers else correlation_id
        return Message(self.payload, self.key or None, headers)

    def context(self) -> user_context.UserContext:
        """Return the context in which the message was written, as far as it is known."""
        return user_context.UserContext(self.correlation_id)


_NO_HEADERS: Mapping[str, str] = {}


class Store:
    """The statements, each a transaction of its own. Raises psycopg.Error."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check_writable(self, limit: int) -> None:
        """Write the oldest unsent entries as they are. Raises psycopg.Error where marking them as sent would fail.

        A read-only server, or one with a full disk, still reads: what it hands out could be sent and never marked.
        """
        # Entries that the leader is marking are passed over, so that the two never wait for each other. An array is
        # made once; with old statistics a plan ran the subquery again for each entry of a backlog, for minutes.
        self._connection.execute(
            f"""
            UPDATE event_stream_outbox SET published_at = NULL WHERE {_UNSENT} AND id = ANY (ARRAY(
                SELECT id FROM event_stream_outbox WHERE {_UNSENT} ORDER BY (id + 0) LIMIT %s FOR UPDATE SKIP LOCKED
            ))
            """,  # noqa: S608
            [limit],
        )

    def unsent(self, limit: int, under_way: Collection[int] = ()) -> list[Entry]:
        """Return the oldest unsent entries but those with the ids `under_way`.

        There is no cursor: the lowest id may be committed last. Raises psycopg.errors.ReadOnlySqlTransaction where
        there are some that could not be marked as sent.
        """
        # Only the partial index has this order. With statistics from before a backlog was sent, the planner might walk
        # the primary key instead, and pass over every published row each time.
        return self._entries(
            f"id <> ALL(%s::bigint[]) AND {_UNSENT} ORDER BY (id + 0) LIMIT %s", [list(under_way), limit]
        )

    def unsent_ids(self, limit: int, under_way: Collection[int]) -> list[int]:
        """Return the ids of the oldest unsent entries, in their order, but those `under_way`."""
        rows = self._connection.execute(
            f"""
            SELECT id FROM event_stream_outbox WHERE id <> ALL(%s::bigint[]) AND {_UNSENT} ORDER BY (id + 0) LIMIT %s
            """,  # noqa: S608
            [list(under_way), limit],
        )
        return [id for (id,) in rows]

    def with_ids(self, ids: Collection[int]) -> list[Entry]:
        """Return those of the entries with these ids that are still unsent, in their order. Raises like `unsent`."""
        return self._entries(f"id = ANY(%s::bigint[]) AND {_UNSENT} ORDER BY id", [list(ids)])

    def _entries(self, condition: str, parameters: Sequence[object]) -> list[Entry]:
        # The payload goes on as the text that it is; decoded and encoded again, it would take more than sending does.
        rows = self._connection.execute(
            f"""
            SELECT current_setting('transaction_read_only') = 'on',
                id, event_id::text, binding, key, payload::text, NULLIF(headers::text, '{{}}'), version, correlation_id,
                written_at, by_trigger
            FROM event_stream_outbox WHERE {condition}
            """,  # noqa: S608
            parameters,
            binary=True,
        ).fetchall()
        if rows and rows[0][0]:
            raise psycopg.errors.ReadOnlySqlTransaction("the server is read-only: no entry can be marked as sent")
        return [
            Entry(id, event_id, binding, key, JsonText(payload), json.loads(headers) if headers else _NO_HEADERS, *rest)
            for _is_read_only, id, event_id, binding, key, payload, headers, *rest in rows
        ]

    def mark_published(self, receipts: Mapping[int, RecordMetadata]) -> dict[int, datetime]:
        """Mark the entries with these ids; return when each was marked."""
        rows = self._connection.execute(
            """
            UPDATE event_stream_outbox AS entry
            SET published_at = clock_timestamp(), published_by = %s,
                partition = receipt.partition, "offset" = receipt.position
            FROM unnest(%s::bigint[], %s::int[], %s::bigint[]) AS receipt (id, partition, position)
            WHERE entry.id = receipt.id AND entry.published_at IS NULL
            RETURNING entry.id, entry.published_at
            """,
            [
                process_name(),
                list(receipts),
                [receipt.partition for receipt in receipts.values()],
                [receipt.offset for receipt in receipts.values()],
            ],
        )
        return {row[0]: row[1] for row in rows}

    def park(self, entry_id: int, error: str, fallback: RecordMetadata | None) -> None:
        """Exclude an entry from sending until a person sets `parked_at` to null. `fallback` was sent in its place."""
        self._connection.execute(
            """
            UPDATE event_stream_outbox
            SET parked_at = clock_timestamp(), error = %s, partition = %s, "offset" = %s WHERE id = %s
            """,
            [
                error.replace("\x00", "\\x00"),
                fallback.partition if fallback else None,
                fallback.offset if fallback else None,
                entry_id,
            ],
        )

    def as_of_us(self, binding: str) -> int:
        """Return the time of a heartbeat; `Heartbeats` explains why it holds."""
        row = self._connection.execute(
            f"""
            SELECT floor(extract(epoch FROM LEAST(
                transaction_timestamp(),
                (SELECT min(written_at) FROM event_stream_outbox WHERE binding = %s AND {_UNSENT})
            )) * 1000000)::bigint
            """,  # noqa: S608
            [binding],
        ).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has a row")
        return int(row[0])

    def is_drained(self) -> bool:
        return self._connection.execute(f"SELECT FROM event_stream_outbox WHERE {_UNSENT} LIMIT 1").fetchone() is None

    def purge(self, older_than_hours: float, limit: int) -> int:
        """Delete up to `limit` of the oldest published entries that are old enough; return how many there were.

        Entries that somebody has locked are left to a later purge, so that it waits for nobody.
        """
        # An array is made once; a plan might run a subquery that locks several times.
        return self._connection.execute(
            """
            DELETE FROM event_stream_outbox WHERE id = ANY (ARRAY(
                SELECT id FROM event_stream_outbox
                WHERE published_at < now() - %s * interval '1 hour' ORDER BY published_at LIMIT %s
                FOR UPDATE SKIP LOCKED
            ))
            """,
            [older_than_hours, limit],
        ).rowcount


class UnsentReader:
    """Reads the unsent entries in their order, a batch at a time.

    In a backlog it looks their ids up for many batches at once. Each search walks over the index entries of what was
    sent before, until a vacuum removes them: without the list, a row of a backlog of a million would take longer than
    one of ten thousand.

    The list is one snapshot, and its order is as good as that of one large batch: a writer holds the row that it
    changes until it commits, so of one key's messages the one with the lower id is never seen after the other.
    """

    _IDS = 50_000

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: deque[int] = deque()

    def read(self, limit: int, under_way: Collection[int]) -> list[Entry]:
        """Return the next entries; none once there are no more but those `under_way`."""
        while self._ids:
            ids = [self._ids.popleft() for _ in range(min(limit, len(self._ids)))]
            # Somebody may have deleted or parked them.
            if entries := self._store.with_ids(ids):
                return entries
        entries = self._store.unsent(limit, under_way)
        if len(entries) == limit:
            under_way = [*under_way, *(entry.id for entry in entries)]
            self._ids.extend(self._store.unsent_ids(self._IDS, under_way))
        return entries

    def start_over(self) -> None:
        """Begin with the oldest again: an entry that was read could not be sent."""
        self._ids.clear()
