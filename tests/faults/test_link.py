"""The proxy does what it says, or the faults that it makes would be none."""

import gc
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from devstack.waiting import wait_until
from tests.faults.link import Link


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it is sent; at the end of that, says "over"."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b"over")


@pytest.fixture
def link() -> Iterator[Link]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with Link(f"127.0.0.1:{server.server_address[1]}") as link:
            yield link
        server.shutdown()


def connect(link: Link) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", link.port), timeout=20)
    try:
        assert says(client, b"hello")
    except BaseException:
        client.close()
        raise
    return client


def says(client: socket.socket, text: bytes) -> bool:
    """Whether it comes back, whole."""
    client.sendall(text)
    return heard(client, len(text)) == text


def heard(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def test_it_passes_on_much_and_in_order(link: Link) -> None:
    with closing(connect(link)) as client:
        text = b"".join(b"%07d" % number for number in range(300_000))
        threading.Thread(target=client.sendall, args=(text,), daemon=True).start()
        assert heard(client, len(text)) == text


def test_cut_resets_and_refuses_until_it_is_open_again(link: Link) -> None:
    with closing(connect(link)) as client:
        link.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(link)
        link.open()
        connect(link).close()


def test_drop_resets_and_takes_new_ones(link: Link) -> None:
    with closing(connect(link)) as client:
        link.drop()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        connect(link).close()
        assert wait_until(lambda: link.connections == 0, within_s=20)


def test_a_delay_holds_back_and_keeps_the_order(link: Link) -> None:
    with closing(connect(link)) as client:
        client.settimeout(0.2)
        link.delay(60)
        client.sendall(b"first")
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(20)
        link.delay(0.05)
        client.sendall(b"second")
        assert heard(client, 11) == b"firstsecond"


def test_half_closed_towards_the_target_the_answer_still_comes(link: Link) -> None:
    with closing(connect(link)) as client:
        link.half_close(towards_target=True)
        client.sendall(b"nobody hears this")
        assert heard(client, 100) == b"over"


def test_half_closed_towards_the_client_he_is_still_heard(link: Link) -> None:
    with closing(connect(link)) as client:
        link.half_close(towards_target=False)
        client.sendall(b"somebody hears this")
        assert heard(client, 100) == b""


def test_it_can_lead_elsewhere(link: Link) -> None:
    with (
        closing(connect(link)) as client,
        socketserver.TCPServer(("127.0.0.1", 0), Echo) as other,
    ):
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        link.lead_to(f"127.0.0.1:{other.server_address[1]}")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        connect(link).close()
        other.shutdown()


def test_a_target_that_is_away_is_a_reset(link: Link) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        link.lead_to(f"127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(ConnectionResetError), closing(connect(link)):
            pass


def test_a_connection_that_comes_at_the_moment_of_a_cut_is_whole_or_refused(link: Link) -> None:
    """One that stays half made is reported by the interpreter, and fails whichever test runs then."""
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", link.port), timeout=20).close()

    guests = [threading.Thread(target=knock) for _ in range(4)]
    for guest in guests:
        guest.start()
    for _ in range(100):
        link.cut()
        link.open()
    over.set()
    for guest in guests:
        guest.join()
    gc.collect()
