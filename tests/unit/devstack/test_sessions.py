import pytest

from devstack.errors import StackError
from devstack.test_sessions import (
    OTHER,
    SESSIONS,
    TESTS,
    UNIT_SESSIONS,
    Brokers,
    concerned,
    needs_servers,
    sessions_of,
    split_arguments,
)


def names(*selections: str) -> list[str]:
    return [session.name for session in concerned(selections)]


def test_a_folder_that_a_session_names_belongs_to_it_and_all_others_to_other() -> None:
    assert [session.name for session in sessions_of(TESTS / "org_project" / "test_api.py")] == ["org_project"]
    assert sessions_of(TESTS / "devstack") == {OTHER}
    assert sessions_of(TESTS) == set(SESSIONS)


def test_a_folder_above_those_of_sessions_concerns_each_of_them_and_not_other() -> None:
    assert names("tests/e2e") == ["e2e each", "e2e"]
    assert names("tests/e2e/each_binder/test_worker.py::test_x") == ["e2e each"]
    assert names("tests/unit") == ["unit event_stream", "unit org_project", "unit licensing_project", "unit"]


def test_every_folder_that_a_session_names_is_there() -> None:
    assert [folder for session in SESSIONS for folder in session.folders if not (TESTS / folder).is_dir()] == []


def test_without_a_path_every_session_runs_and_servers_are_needed() -> None:
    assert names() == [session.name for session in SESSIONS]
    assert needs_servers([])


def test_a_path_concerns_its_own_session_only_and_no_server_where_none_is_talked_to() -> None:
    assert concerned(["tests/devstack"]) == {OTHER: ["tests/devstack"]}
    assert not needs_servers(["tests/devstack"])
    assert needs_servers(["tests"])
    assert len(concerned(["tests"])) == len(SESSIONS)


def test_unit_tests_need_no_server() -> None:
    assert not needs_servers(["tests/unit", "tests/model"])
    assert all(session.brokers is Brokers.NONE for session in UNIT_SESSIONS)


def test_the_value_of_an_option_is_not_taken_for_a_path() -> None:
    selections, options = split_arguments(["-k", "tests", "tests/devstack", "-x"])
    assert selections == ["tests/devstack"]
    assert options == ["-k", "tests", "-x"]


def test_the_path_that_an_option_names_need_not_be_there() -> None:
    selections, options = split_arguments(["tests/devstack", "--ignore", "tests/gone"])
    assert selections == ["tests/devstack"]
    assert options == ["--ignore", "tests/gone"]


def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(StackError, match=r"No such path: tests/gone/test_x\.py::test_y\."):
        split_arguments(["tests/gone/test_x.py::test_y", "-q"])
