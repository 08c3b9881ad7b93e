"""Pages: found by number and size, and a clear word where either is none."""

import json

import pytest
from django.test import Client
from pytest_django import Settings

from tests.event_stream import web_settings


@pytest.fixture(autouse=True)
def _service(settings: Settings) -> None:
    web_settings.apply(settings)


def test_a_page_has_its_neighbours_as_absolute_links(client: Client) -> None:
    page = client.get("/numbers?page=2&size=100").json()

    assert page["count"] == 450
    assert page["results"] == list(range(101, 201))
    assert page["next"] == "http://testserver/numbers?page=3&size=100"
    assert client.get(page["previous"]).json()["results"] == list(range(1, 101))


def test_links_keep_the_gateways_prefix(client: Client) -> None:
    page = client.get("/numbers", SCRIPT_NAME="/organization").json()

    assert page["next"] == "http://testserver/organization/numbers?page=2"


def test_without_parameters_it_is_the_first_page_of_the_usual_size(client: Client) -> None:
    assert client.get("/numbers").json()["results"] == list(range(1, 21))
    assert client.get("/numbers?page=last&size=200").json()["results"] == list(range(401, 451))


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "", "१", "9" * 5000, "\0"])
@pytest.mark.parametrize("name", ["page", "size"])
def test_a_number_that_is_none_is_refused_by_name(client: Client, name: str, value: str) -> None:
    response = client.get("/numbers", {name: value})

    assert response.status_code == 400
    assert [error["field"] for error in json.loads(response.content)["errors"]] == [name]


def test_a_size_beyond_the_greatest_is_refused_and_the_greatest_named(client: Client) -> None:
    assert "200" in json.loads(client.get("/numbers?size=201").content)["detail"]


@pytest.mark.parametrize("page", ["24", "999999999999999999"])
def test_a_page_beyond_the_last_is_not_there(client: Client, page: str) -> None:
    assert client.get("/numbers", {"page": page}).status_code == 404
