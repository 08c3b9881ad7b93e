from devstack.test_sessions import OTHER, TESTS, concerned, needs_servers, session_of, split_arguments


def test_a_folder_named_like_a_session_belongs_to_it_and_all_others_to_other() -> None:
    owner = session_of(TESTS / "org_project" / "test_api.py")
    assert owner is not None
    assert owner.name == "org_project"
    assert session_of(TESTS / "devstack") is OTHER
    assert session_of(TESTS) is None


def test_without_a_path_every_session_runs_and_servers_are_needed() -> None:
    names = ["org_project", "licensing_project", "audit_journal", "event_stream", "other", "e2e"]
    assert [session.name for session in concerned([])] == names
    assert needs_servers([])


def test_a_path_concerns_its_own_session_only_and_no_server_where_none_is_talked_to() -> None:
    assert concerned(["tests/devstack"]) == {OTHER: ["tests/devstack"]}
    assert not needs_servers(["tests/devstack"])
    assert needs_servers(["tests"])
    assert len(concerned(["tests"])) == 6


def test_the_value_of_an_option_is_not_taken_for_a_path() -> None:
    selections, options = split_arguments(["-k", "tests", "tests/devstack", "-x"])
    assert selections == ["tests/devstack"]
    assert options == ["-k", "tests", "-x"]
