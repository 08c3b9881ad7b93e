"""Each error that tells of the server is sorted, and what that means for a request."""

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, utils
from psycopg import errors

from event_stream.database_faults import SQLSTATES, DatabaseFault, database_fault

AWAY, READ_ONLY, EXHAUSTED = DatabaseFault.AWAY, DatabaseFault.READ_ONLY, DatabaseFault.EXHAUSTED
BROKEN, CONFLICT = DatabaseFault.BROKEN, DatabaseFault.CONFLICT

SORTED = {
    "08000": AWAY,  # connection_exception
    "08001": AWAY,  # sqlclient_unable_to_establish_sqlconnection
    "08003": AWAY,  # connection_does_not_exist
    "08004": AWAY,  # sqlserver_rejected_establishment_of_sqlconnection
    "08006": AWAY,  # connection_failure
    "08007": AWAY,  # transaction_resolution_unknown
    "08P01": AWAY,  # protocol_violation
    "25006": READ_ONLY,  # read_only_sql_transaction
    "25P03": AWAY,  # idle_in_transaction_session_timeout
    "25P04": AWAY,  # transaction_timeout
    "40001": CONFLICT,  # serialization_failure
    "40003": AWAY,  # statement_completion_unknown
    "40P01": CONFLICT,  # deadlock_detected
    "53000": EXHAUSTED,  # insufficient_resources
    "53100": EXHAUSTED,  # disk_full
    "53200": EXHAUSTED,  # out_of_memory
    "53300": EXHAUSTED,  # too_many_connections
    "53400": EXHAUSTED,  # configuration_limit_exceeded
    "55P03": DatabaseFault.LOCK_TIMEOUT,  # lock_not_available
    "57014": DatabaseFault.STATEMENT_TIMEOUT,  # query_canceled
    "57P01": AWAY,  # admin_shutdown
    "57P02": AWAY,  # crash_shutdown
    "57P03": AWAY,  # cannot_connect_now
    "57P04": AWAY,  # database_dropped
    "57P05": AWAY,  # idle_session_timeout
    "58000": BROKEN,  # system_error
    "58030": BROKEN,  # io_error
    "58P01": BROKEN,  # undefined_file
    "58P02": BROKEN,  # duplicate_file
    "58P03": BROKEN,  # file_name_too_long
}
NOT_THE_SERVERS = [
    "22001",  # string_data_right_truncation
    "23505",  # unique_violation
    "25001",  # active_sql_transaction
    "25P02",  # in_failed_sql_transaction
    "40002",  # transaction_integrity_constraint_violation
    "42501",  # insufficient_privilege
    "42P01",  # undefined_table
    "54001",  # statement_too_complex
    "55000",  # object_not_in_prerequisite_state
    "57000",  # operator_intervention
    "XX000",  # internal_error
]
CLASSES = ("08", "53", "57P", "58")


def raised(sqlstate: str) -> tuple[psycopg.Error, DatabaseError]:
    """The driver's error, and Django's around it."""
    error = errors.lookup(sqlstate)("text") if sqlstate in _KNOWN else psycopg.OperationalError("text")
    error.sqlstate = sqlstate
    wrapped = getattr(utils, type(error).__mro__[1].__name__, OperationalError)("text")
    wrapped.__cause__ = error
    return error, wrapped


_KNOWN = {
    sqlstate
    for error in vars(errors).values()
    if isinstance(error, type) and isinstance(sqlstate := getattr(error, "sqlstate", None), str)
}


@pytest.mark.parametrize(("sqlstate", "fault"), SORTED.items())
def test_each_error_of_the_server_is_sorted(sqlstate: str, fault: DatabaseFault) -> None:
    for error in raised(sqlstate):
        assert database_fault(error) is fault


@pytest.mark.parametrize("sqlstate", NOT_THE_SERVERS)
def test_no_other_error_is(sqlstate: str) -> None:
    for error in raised(sqlstate):
        assert database_fault(error) is None


def test_the_driver_knows_none_of_these_classes_that_is_not_named_here() -> None:
    of_these = {sqlstate for sqlstate in _KNOWN if sqlstate.startswith(CLASSES)}
    assert of_these
    assert of_these <= SORTED.keys()


def test_no_line_of_the_table_is_without_an_example() -> None:
    for prefix, fault in SQLSTATES.items():
        assert fault in {each for sqlstate, each in SORTED.items() if sqlstate.startswith(prefix)}, prefix


def test_an_error_without_a_state_is_a_connection_that_leads_nowhere() -> None:
    refused = OperationalError("connection failed")
    refused.__cause__ = psycopg.OperationalError("connection failed")
    for error in (refused, InterfaceError("the connection is closed"), OperationalError("x")):
        assert database_fault(error) is AWAY
    for other in (None, ValueError("x"), DatabaseError("x"), utils.DataError("x")):
        assert database_fault(other) is None


def test_what_is_about_two_transactions_is_no_outage() -> None:
    between_two = {fault for fault in DatabaseFault if not fault.is_outage}
    assert between_two == {CONFLICT, DatabaseFault.LOCK_TIMEOUT, DatabaseFault.STATEMENT_TIMEOUT}
