"""The figures on their way to the page: kept as JSON, compared, and drawn; and the load of our own generator."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import http_load
from benchmarks.bar_chart import bar_chart
from benchmarks.capacity import capacity
from benchmarks.figures import Figure, Ratio, Series, paired
from benchmarks.measure import interleaved, percentile
from benchmarks.report import Pages, Result, plain_text, short, summary

OURS = Series("ours", [100.0, 110.0, 90.0], {"CPU ms": 0.5, "Valkey ms": 0.02})
PLAIN = Series("plain <DRF>", [50.0, 55.0, 60.0])
FIGURE = Figure(
    "License lookup, cached", "lookups/s", [OURS, PLAIN], [paired("ours / plain", OURS, PLAIN, ">= 2")], ["A note."]
)
RESULT = Result("lookup", {"commit": "abc"}, 1.0, [FIGURE])


def test_figures_survive_json(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    pages.write([RESULT, Result("put", {}, 0.0, failure="it failed")])
    assert next(iter(pages.read())).as_dict() == RESULT.as_dict()
    assert "Not measured: it failed" in (tmp_path / "performance.md").read_text()


def test_the_text_around_the_tables_stays(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    pages.write([])
    page = tmp_path / "performance.md"
    page.write_text("# Title\n\n" + page.read_text() + "\nThe end.\n")
    pages.write([RESULT])
    pages.write([RESULT])
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\nThe end.\n")
    assert text.count("### License lookup, cached") == 1


@pytest.mark.parametrize(
    ("samples", "reach", "reached"),
    [([1, 3, 2], ">= 2", True), ([1, 3, 2], "<= 1.5", False), ([1], "> 1", False), ([1], "", None)],
)
def test_a_median_reaches_what_is_asked_for(samples: list[float], reach: str, reached: bool | None) -> None:
    assert Ratio("a / b", samples, reach).is_reached is reached


def test_what_is_compared_is_named() -> None:
    row = "| License lookup, cached | 100 lookups/s | plain <DRF>: 55.00 | 2.00 (1.50 to 2.00) | ≥ 2 | reached |"
    assert row in summary([RESULT])
    assert "| License lookup, cached | 100 lookups/s | plain <DRF>: 55.00 | 2.00 |" in short([RESULT])
    assert "ours / plain: 2.00 (1.50 to 2.00), to reach ≥ 2: reached" in plain_text(FIGURE)


def test_the_picture_is_valid_and_shows_every_series() -> None:
    drawn = [element.text for element in ElementTree.fromstring(bar_chart([FIGURE])).iter() if element.text]
    assert {"License lookup, cached (lookups/s)", "ours", "plain <DRF>", "100", "55.00"} <= set(drawn)


def test_capacity_is_plain_arithmetic() -> None:
    rows = {row[0]: row for row in capacity([FIGURE])}
    # 0.5 ms of CPU: 2,000 a second from a core; a million at 60 % take 834 cores.
    assert rows["lookups: web"] == ["lookups: web", "0.5 ms of CPU", "2,000/s", "834 cores"]
    assert rows["lookups: Redis"][2:] == ["50,000/s", "34 primaries"]
    assert "lookups: PostgreSQL" not in rows


def test_contestants_take_turns_to_begin() -> None:
    order: list[str] = []
    interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 3)  # type: ignore[misc]
    assert "".join(order) == "abbaab"


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([3.0, 1.0, 2.0], at) for at in (0, 50, 99)] == [1.0, 2.0, 3.0]


@contextmanager
def echo_server(status: bytes = b"200 OK") -> Iterator[tuple[int, list[bytes]]]:
    """Answers each request, in one packet, with `{"path": …}`; yields its port and what it was asked."""
    asked: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                while request := connection.recv(65536):
                    path = request.split(b" ")[1]
                    asked.append(path)
                    body = b'{"path": "%b"}' % path
                    connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
                    if b"close" in status:
                        return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)


def test_each_request_is_sent_once_and_its_answer_compared() -> None:
    requests = [http_load.Request("GET", f"/{number}", {"path": f"/{number}"}) for number in range(20)]
    requests.append(http_load.Request("GET", "/wrong", {"path": "/right"}))
    with echo_server() as (port, asked):
        outcome = http_load.run(http_load.Order(port, 4, requests, each_once=True))
    assert sorted(asked) == sorted(request.path.encode() for request in requests)
    assert (outcome.answers, outcome.errors) == (20, 1)
    assert outcome.first_error == "/wrong: {'path': '/wrong'}"


def test_a_connection_that_the_server_ends_is_replaced() -> None:
    requests = [http_load.Request("GET", f"/{number}") for number in range(20)]
    with echo_server(b"200 OK\r\nConnection: close") as (port, asked):
        outcome = http_load.run(http_load.Order(port, 2, requests, each_once=True))
    assert (outcome.answers, outcome.errors, len(asked)) == (20, 0, 20)


def test_a_rate_is_not_exceeded() -> None:
    requests = [http_load.Request("GET", "/")]
    with echo_server() as (port, asked):
        outcome = http_load.run(http_load.Order(port, 4, requests, seconds=0.3, rate_per_s=50))
    assert 0 < outcome.answers == len(asked) <= 16


def test_an_answer_of_another_status_is_an_error() -> None:
    with echo_server(b"500 Broken") as (port, _):
        outcome = http_load.run(http_load.Order(port, 1, [http_load.Request("GET", "/")], each_once=True))
    assert (outcome.answers, outcome.errors) == (0, 1)
    assert "500 Broken" in outcome.first_error
