"""Conditional requests: no lost update gets through, no needless body goes out."""

import pytest
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from service_kit.conditional_requests import check_preconditions, etag, not_modified
from service_kit.problem_details import Problem
from tests.event_stream import web_settings

factory = RequestFactory()


def refusal(if_match: str | None, version: int | str | None, *, required: bool = False) -> int | None:
    """The status of the problem, None where the update may go on."""
    headers = {} if if_match is None else {"If-Match": if_match}
    try:
        check_preconditions(factory.put("/", headers=headers), version, required=required)
    except Problem as problem:
        return problem.status_code
    return None


@pytest.mark.parametrize(
    ("if_match", "expected"),
    [
        (None, None),
        ('"17"', None),
        ("*", None),
        (" * ", None),
        ('"16", "17"', None),
        ('"16","17"', None),
        (' ,"16", , "17" ,', None),
        ('"a,b", "17"', None),
        ('"16"', 412),
        ('"170"', 412),
        ('""', 412),
        ('W/"17"', 412),
        ("17", 400),
        ('"17', 400),
        ('17"', 400),
        ("'17'", 400),
        ('"17" "18"', 400),
        ('"17", x', 400),
        ('w/"17"', 400),
        ('*, "17"', 400),
        ("", 400),
        (",", 400),
        ('"1 7"', 400),
    ],
)
def test_an_update_goes_on_only_from_the_version_that_is_there(if_match: str | None, expected: int | None) -> None:
    assert refusal(if_match, 17) == expected


@pytest.mark.parametrize("if_match", ["*", '"17"'])
def test_nothing_matches_what_is_not_there(if_match: str) -> None:
    assert refusal(if_match, None) == 412


def test_it_can_be_demanded() -> None:
    assert refusal(None, 17, required=True) == 428
    assert refusal('"17"', 17, required=True) is None


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        (None, False),
        ('"17"', True),
        ('W/"17"', True),
        ("*", True),
        ('"16", W/"17"', True),
        ('"16"', False),
        ("17", False),
        ('"17', False),
        ("", False),
    ],
)
def test_a_304_only_for_the_version_that_the_client_has(if_none_match: str | None, expected: bool) -> None:
    headers = {} if if_none_match is None else {"If-None-Match": if_none_match}

    assert not_modified(factory.get("/", headers=headers), 17) is expected


def test_a_version_may_be_a_text_of_several_parts() -> None:
    assert etag("17-18-hal") == '"17-18-hal"'
    assert refusal('"17-18-hal"', "17-18-hal") is None


@pytest.mark.parametrize("text", ["", 'a"b', "a b", "a\nb", "é€"])
def test_a_text_that_no_tag_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="can't be an entity tag"):
        etag(text)


def refusal_of_if_none_match(if_none_match: str, version: int | None, *, exists: bool | None = None) -> int | None:
    request = factory.put("/", headers={"If-None-Match": if_none_match})
    try:
        check_preconditions(request, version, exists=exists)
    except Problem as problem:
        return problem.status_code
    return None


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [("*", 412), ('"17"', 412), ('W/"17"', 412), ('"16", "17"', 412), ('"16"', None), ("17", 400), ("", 400)],
)
def test_a_write_is_refused_to_the_version_that_if_none_match_excludes(
    if_none_match: str, expected: int | None
) -> None:
    assert refusal_of_if_none_match(if_none_match, 17) == expected


def test_the_star_excludes_what_exists_alone() -> None:
    assert refusal_of_if_none_match("*", None) is None
    assert refusal_of_if_none_match("*", None, exists=True) == 412
    assert refusal_of_if_none_match('"17"', None, exists=True) is None


def test_a_part_of_the_tag_may_be_compared() -> None:
    def check(**headers: str) -> None:
        request = factory.put("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
        check_preconditions(request, 17, comparable=lambda tag: tag.partition("-")[0])

    check(if_match='"17-18-hal"')
    check(if_none_match='"18-17-hal"')
    with pytest.raises(Problem):
        check(if_match='"18-17-hal"')
    with pytest.raises(Problem):
        check(if_none_match='W/"17-18-hal"')


def test_a_read_of_another_version_than_if_match_names_is_refused() -> None:
    assert not not_modified(factory.get("/", headers={"If-Match": '"17"'}), 17)
    with pytest.raises(Problem):
        not_modified(factory.get("/", headers={"If-Match": '"16"'}), 17)


@given(st.text())
def test_no_header_can_do_more_than_be_refused(header: str) -> None:
    assert refusal(header, 17) in (None, 400, 412)


@given(st.lists(st.integers(min_value=0), min_size=1), st.integers(min_value=0))
def test_a_list_matches_if_and_only_if_it_names_the_version(named: list[int], version: int) -> None:
    header = ", ".join(etag(each) for each in named)

    assert (refusal(header, version) is None) == (version in named)


def test_on_the_wire(client: Client, settings: Settings) -> None:
    web_settings.apply(settings)

    tag = client.get("/versions/17")["ETag"]
    assert client.get("/versions/17", headers={"If-None-Match": tag}).status_code == 304
    assert client.get("/versions/18", headers={"If-None-Match": tag}).status_code == 200
    assert client.put("/versions/17", headers={"If-Match": tag}).status_code == 200
    lost = client.put("/versions/18", headers={"If-Match": tag})
    assert (lost.status_code, lost["ETag"]) == (412, '"18"')
    assert client.put("/versions/0", headers={"If-Match": tag}).status_code == 412
    assert client.put("/versions/17?required").status_code == 428
