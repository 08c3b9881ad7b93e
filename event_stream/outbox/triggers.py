"""Database triggers. A model declares them in `Meta.triggers`, so that every write to its table has its message.

triggers = [
    Versioned(),
    MissingEventTrigger(
        binding="outboundOrgChanges",
        payload_sql={"action": by_operation(insert="CREATED", update="UPDATED", delete="DELETED"), "id": KEY},
    ),
]
"""

from collections.abc import Mapping

import pgtrigger
from django.db import models
from pgtrigger import compiler

CHANNEL = "event_stream_outbox"

# Two numbers in PostgreSQL's space of 64-bit advisory locks: "outbox" in ASCII, then the purpose.
LEADER_LOCK = 0x6F7574626F780001
AWAKE_LOCK = 0x6F7574626F780002

FORGET_MESSAGES = "event_stream.forget_messages"
"""A setting of PostgreSQL: `on` in a transaction that may truncate the outbox."""

_CLOCK_US = "floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

# SQL for `payload_sql`.
KEY = "the_key"
VERSION = "the_version"
EVENT_ID = "the_event_id"
CORRELATION_ID = "the_correlation_id"
OCCURRED_AT = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


class UnconditionalTriggerSql(compiler.UpsertTriggerSql):
    """The first template. Migrations name this class, so a change to the template needs a new class."""

    def get_template(self) -> str:
        return """
            CREATE OR REPLACE FUNCTION {pgid}()
            RETURNS TRIGGER AS $$
                {declare}
                BEGIN
                    {func}
                END;
            $$ LANGUAGE plpgsql;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE {constraint} TRIGGER {pgid}
                {when} {operation} ON {table}
                {timing}
                {referencing}
                FOR EACH {level} {condition}
                EXECUTE PROCEDURE {execute};

            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


class SchemaBoundTriggerSql(UnconditionalTriggerSql):
    """The template in use: the function looks its tables up in the schema of the trigger's own table.

    Without a search path of its own, a function takes the session's. A temporary table named like the outbox would then
    swallow the messages, and a session with an empty search path (pg_dump writes one into each dump) could not write at
    all. `pg_temp` comes last because PostgreSQL searches it first wherever it is not named.
    """

    def get_template(self) -> str:
        return (
            super().get_template()  # noqa: S608  (pgtrigger fills in its own names, quoted)
            + """
            DO $do$
            BEGIN
                EXECUTE format(
                    'ALTER FUNCTION {pgid}() SET search_path = pg_catalog, %I, pg_temp',
                    (
                        SELECT nspname FROM pg_catalog.pg_class
                        JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
                        WHERE pg_class.oid = '{table}'::regclass
                    )
                );
            END
            $do$;
        """
        )


class UnconditionalTrigger(pgtrigger.Trigger):
    """The base of this package's triggers: one that `pgtrigger.ignore` can't switch off.

    django-pgtrigger reads that switch in each call, in a block that catches the error where the switch is not set. Each
    such error rolls a subtransaction back, and PostgreSQL then walks over every deferred trigger event of the
    transaction: measured, 50,000 rows inserted in one statement took 20 s, nearly all of it there. A guard should have
    no switch anyway.
    """

    def render_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        """Strip the indentation, so that reformatting the source needs no migration."""
        lines = super().render_func(model).splitlines()  # type: ignore[arg-type]
        return "\n".join(line.strip() for line in lines if line.strip())

    def compile(self, model: type[models.Model]) -> compiler.Trigger:  # type: ignore[override]
        compiled = super().compile(model)  # type: ignore[arg-type]
        return compiler.Trigger(name=compiled.name, sql=SchemaBoundTriggerSql(**compiled.sql.kwargs))


def literal(value: str) -> str:
    """Return SQL for a constant text."""
    if "$$" in value:
        raise ValueError(f"{value!r}: a text in a trigger can't have two dollar signs in a row")
    return "'" + value.replace("'", "''") + "'::text"


def by_operation(*, insert: str, update: str, delete: str) -> str:
    """Return SQL for a text that depends on the operation."""
    created, changed, deleted = literal(insert), literal(update), literal(delete)
    return f"CASE TG_OP WHEN 'INSERT' THEN {created} WHEN 'UPDATE' THEN {changed} ELSE {deleted} END"


def column(name: str) -> str:
    """Return SQL for a column of the row: its value after the write, or before a deletion."""
    return f"the_row.{_quoted(name)}"


class Versioned(UnconditionalTrigger):
    """Gives each write of a row a version above the one before, whatever version the write has.

    Versions are the microseconds of the database's clock where that is higher. A row that is deleted and recreated
    under the same id thus continues above its old versions, without a record of them. Versions fit a double exactly.
    """

    when = pgtrigger.Before
    operation = pgtrigger.Insert | pgtrigger.Update

    def __init__(self, *, field: str = "version", name: str = "versioned") -> None:
        self.field = field
        super().__init__(name=name)

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        version = _column(model, self.field)
        return f"""
            IF TG_OP = 'INSERT' THEN
                NEW.{version} := {_CLOCK_US};
            ELSE
                NEW.{version} := GREATEST(OLD.{version} + 1, {_CLOCK_US});
            END IF;
            RETURN NEW;
        """


class _Guard(UnconditionalTrigger):
    """The base of both guards: declares the variables that `payload_sql` may name, and writes an entry."""

    def __init__(
        self,
        *,
        binding: str,
        payload_sql: Mapping[str, str],
        key: str = "id",
        version: str = "version",
        name: str | None = None,
    ) -> None:
        self.binding = binding
        self.payload_sql = dict(payload_sql)
        self.key = key
        self.version = version
        super().__init__(name=name)

    def get_declare(self, model: type[models.Model]) -> list[tuple[str, str]]:  # type: ignore[override]
        return [
            ("the_row", f"{_quoted(model._meta.db_table)}%ROWTYPE"),
            ("the_key", "text"),
            ("the_version", "bigint"),
            ("the_event_id", "uuid := gen_random_uuid()"),
            ("the_correlation_id", "text"),
            ("newest", "bigint"),
            ("recreated", "bigint"),
        ]

    def _insert(self) -> str:
        payload = ", ".join(f"{literal(name)}, {sql}" for name, sql in self.payload_sql.items())
        return f"""
            the_correlation_id := COALESCE(
                NULLIF(current_setting('event_stream.correlation_id', true), ''),
                set_config('event_stream.correlation_id', gen_random_uuid()::text, true)
            );
            INSERT INTO event_stream_outbox
                (event_id, binding, key, payload, headers, version, correlation_id, by_trigger)
            VALUES
                (the_event_id, {literal(self.binding)}, the_key, jsonb_build_object({payload}), '{{}}', the_version,
                 the_correlation_id, true);
        """  # noqa: S608  (made of what the model's author wrote)


class MissingEventTrigger(_Guard):
    """At commit, adds to the outbox the message of each version that has none.

    `key` and `version` are fields of the model; `payload_sql` maps the payload's keys to SQL, best put together from
    the constants and functions of this module. The correlation id is the one that `share_correlation_id` set for the
    transaction; otherwise the trigger generates one.

    A deletion has no version of its own in the table: any message of its key above the row's last version counts as its
    message, except the one of the row's own re-creation. A message added late goes before those of later versions that
    the same transaction has written already, so that a key's messages are in the order of its versions.
    """

    name = "outbox_guard"
    when = pgtrigger.After
    operation = pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete
    timing = pgtrigger.Deferred

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        key, version = _column(model, self.key), _column(model, self.version)
        of_the_key = f"event_stream_outbox WHERE binding = {literal(self.binding)} AND key = the_key"
        return f"""
            IF TG_OP = 'DELETE' THEN
                the_row := OLD;
                the_key := OLD.{key}::text;
                SELECT max(version) INTO newest FROM {of_the_key};
                SELECT {version} INTO recreated FROM {_quoted(model._meta.db_table)} WHERE {key} = OLD.{key};
                IF newest > OLD.{version} AND EXISTS (
                    SELECT FROM {of_the_key} AND version > OLD.{version} AND version IS DISTINCT FROM recreated
                ) THEN
                    RETURN NULL;
                END IF;
                the_version := OLD.{version} + 1;
                IF recreated IS NULL THEN
                    the_version := GREATEST(the_version, {_CLOCK_US});
                END IF;
            ELSE
                the_row := NEW;
                the_key := NEW.{key}::text;
                the_version := NEW.{version};
                IF TG_OP = 'UPDATE' AND OLD.{key} IS DISTINCT FROM NEW.{key} THEN
                    RAISE EXCEPTION 'the key of a row in % can not change (from % to %)',
                        TG_TABLE_NAME, OLD.{key}, NEW.{key}
                        USING HINT = 'Delete the row and insert it under its new key.';
                END IF;
                SELECT max(version) INTO newest FROM {of_the_key};
                IF newest = the_version
                    OR newest > the_version AND EXISTS (SELECT FROM {of_the_key} AND version = the_version)
                THEN
                    RETURN NULL;
                END IF;
            END IF;
            {self._insert()}
            IF newest > the_version THEN
                UPDATE event_stream_outbox SET id = later.new_id FROM (
                    SELECT id, nextval(pg_get_serial_sequence('event_stream_outbox', 'id')) AS new_id FROM (
                        SELECT id FROM {of_the_key} AND version > the_version AND published_at IS NULL ORDER BY version
                    ) AS in_order
                ) AS later WHERE event_stream_outbox.id = later.id;
            END IF;
            RETURN NULL;
        """  # noqa: S608  (made of the model's own names, quoted, and of what its author wrote)


class TruncateTrigger(_Guard):
    """Writes a message for each row that a TRUNCATE deletes. It takes the same arguments as `MissingEventTrigger`."""

    name = "truncate_guard"
    level = pgtrigger.Statement
    when = pgtrigger.Before
    operation = pgtrigger.Truncate

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        key, version = _column(model, self.key), _column(model, self.version)
        return f"""
            FOR the_row IN SELECT * FROM {_quoted(model._meta.db_table)} LOOP
                the_key := the_row.{key}::text;
                the_version := GREATEST(the_row.{version} + 1, {_CLOCK_US});
                the_event_id := gen_random_uuid();
                {self._insert()}
            END LOOP;
            RETURN NULL;
        """  # noqa: S608  (made of the model's own names, quoted, and of what its author wrote)


def _column(model: type[models.Model], field: str) -> str:
    return _quoted(str(model._meta.get_field(field).column))  # type: ignore[union-attr]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class NotifyTrigger(UnconditionalTrigger):
    """Notifies a sleeping relay, once for each statement that inserts into the outbox.

    PostgreSQL lets the commits of notifying transactions through one at a time, each with its flush to the disk:
    measured with 16 writers, 4,300 commits/s with a NOTIFY in each and 11,900 without. So a busy relay is not notified.
    The advisory lock AWAKE_LOCK shows whether the relay sleeps:

    - The relay holds it exclusively while it sleeps. It gets the lock only when no writer has it.
    - A writer tries to take it shared, until the end of its transaction. If it gets the lock, the relay is awake and
      can't fall asleep before this transaction is over. PostgreSQL makes a commit visible before it releases the
      locks, so the relay sees the rows in its last look before it sleeps. If the writer doesn't get the lock, the relay
      sleeps or is about to, and the writer notifies.

    So no notification is lost. The relay still polls the table at long intervals, in case somebody changes an entry by
    hand.
    """

    level = pgtrigger.Statement
    when = pgtrigger.After
    operation = pgtrigger.Insert

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        return f"""
            IF NOT pg_try_advisory_xact_lock_shared({AWAKE_LOCK}) THEN
                PERFORM pg_notify('{CHANNEL}', '');
            END IF;
            RETURN NULL;
        """


class UnusedIdTrigger(UnconditionalTrigger):
    """Gives an entry another id if its own is taken, so that a restored outbox and new messages never clash.

    A dump brings entries with their old ids, beside messages that the triggers write for the restored rows; at its end
    it sets the sequence back to where it was in the old database.
    """

    when = pgtrigger.Before
    operation = pgtrigger.Insert

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        table = model._meta.db_table
        return f"""
            WHILE EXISTS (SELECT FROM {_quoted(table)} WHERE id = NEW.id) LOOP
                NEW.id := nextval(pg_get_serial_sequence({literal(table)}, 'id'));
            END LOOP;
            RETURN NEW;
        """


class RefuseTruncateTrigger(UnconditionalTrigger):
    """Refuses a TRUNCATE of the outbox: with the data in one statement, it would take the deletions' messages with it.

    PostgreSQL fires the triggers of all tables before it truncates the first, so none of them can save a message.
    `FORGET_MESSAGES` is for tests alone, which empty every table after each.
    """

    level = pgtrigger.Statement
    when = pgtrigger.Before
    operation = pgtrigger.Truncate

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        return f"""
            IF current_setting('{FORGET_MESSAGES}', true) = 'on' THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION '% can not be truncated: messages would be lost', TG_TABLE_NAME
                USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Truncate the other tables alone: their deletions are published. '
                    'The relay deletes the entries it has sent.';
        """
