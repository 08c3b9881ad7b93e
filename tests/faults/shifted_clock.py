"""A clock for one database that a test can set: PostgreSQL's own, and so much ahead of it.

Functions are looked for along the search path: a schema that stands before pg_catalog puts its own in their place.
"""

import psycopg

_INSTALL = """
    CREATE SCHEMA shifted;
    CREATE TABLE shifted.clock (ahead interval NOT NULL);
    INSERT INTO shifted.clock VALUES ('0');
    CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        RETURN pg_catalog.clock_timestamp() + (SELECT ahead FROM shifted.clock);
    CREATE FUNCTION shifted.transaction_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        RETURN pg_catalog.transaction_timestamp() + (SELECT ahead FROM shifted.clock);
    CREATE FUNCTION shifted.now() RETURNS timestamptz LANGUAGE sql STABLE
        RETURN pg_catalog.now() + (SELECT ahead FROM shifted.clock);
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = public, shifted, pg_catalog', current_database());
    END $$;
"""


def install(database_url: str) -> None:
    """Before there are tables, whose defaults would keep the real clock; for sessions that begin after it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_INSTALL)


def set_ahead(database_url: str, ahead_s: float) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE shifted.clock SET ahead = make_interval(secs => %s)", [ahead_s])
