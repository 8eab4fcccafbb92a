import http.client
import socket
import ssl
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from carboy.http_values import parse_retry_after
from carboy.testing.answers import (
    Answer,
    Cut,
    Drip,
    Hold,
    Place,
    Raw,
    Request,
    Stall,
    Step,
    come_back_later,
    json_answer,
    redirect,
    render,
)
from carboy.testing.certificate_authority import make_ca
from carboy.testing.http_server import LoopbackServer, closed_port, deaf_port, silent_port

SHORT_S = 0.2


def connect(server: LoopbackServer, timeout_s: float = 10.0) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout_s))


def read(server: LoopbackServer, method: str = "GET", target: str = "/", timeout_s: float = 10.0) -> bytes:
    with connect(server, timeout_s) as connection:
        connection.request(method, target)
        return connection.getresponse().read()


def test_a_request_is_recorded_as_it_was_sent(loopback: LoopbackServer) -> None:
    """Method, path, query, headers by lower-case name, and the body's bytes."""
    with connect(loopback) as connection:
        connection.request("PUT", "/a%20b?x=1&y=%20", b"\x00\xff", {"X-One": "1"})
        connection.getresponse().read()

    request = loopback.requests[0]
    assert (request.method, request.path, request.query) == ("PUT", "/a%20b", {"x": "1", "y": " "})
    assert request.headers["x-one"] == "1"
    assert request.body == b"\x00\xff"


def test_a_chunked_body_is_put_together(loopback: LoopbackServer) -> None:
    """However the chunks were cut."""
    with connect(loopback) as connection:
        connection.request("POST", "/", iter([b"one", b"two", b"x" * 70_000]), encode_chunked=True)
        connection.getresponse().read()

    assert loopback.requests[0].body == b"onetwo" + b"x" * 70_000


def test_kept_connections_are_counted_once(loopback: LoopbackServer) -> None:
    """So a test can check that a client reuses them."""
    with connect(loopback) as connection:
        for _ in range(3):
            connection.request("GET", "/")
            connection.getresponse().read()
    read(loopback)

    assert len(loopback.requests) == 4
    assert loopback.connections == 2


def test_scripted_steps_come_first_then_the_standing_answer() -> None:
    """One step a request, in order."""
    with LoopbackServer(Answer(body=b"always")) as server:
        server.script(Answer(503, b"one"), json_answer({"two": 2}))

        bodies = [read(server) for _ in range(4)]

    assert bodies == [b"one", b'{"two": 2}', b"always", b"always"]


def test_a_function_answers_by_the_request() -> None:
    """What it returns is carried out."""

    def echo(request: Request) -> Step:
        return Answer(body=request.body or request.path.encode())

    with LoopbackServer(echo) as server:
        assert read(server, target="/abc") == b"/abc"


@pytest.mark.parametrize("place", ["start", "headers", "body"])
def test_a_stall_leaves_the_client_waiting(loopback: LoopbackServer, place: Place) -> None:
    """Before the answer, in its headers, or in its body."""
    loopback.script(Stall(place))

    with pytest.raises(TimeoutError):
        read(loopback, timeout_s=SHORT_S)


@pytest.mark.parametrize("place", ["start", "headers", "body"])
def test_a_cut_ends_the_connection_early(loopback: LoopbackServer, place: Place) -> None:
    """Before the answer, in its headers, or in its body."""
    answer = Answer(body=b"x" * 100)
    loopback.script(Cut(place, answer))

    with socket.create_connection(("127.0.0.1", loopback.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        came = client.makefile("rb").read()

    head, body = render(answer)
    assert came == {"start": b"", "headers": head[: len(head) // 2], "body": head + body[:50]}[place]


def test_a_reset_is_seen_as_one(loopback: LoopbackServer) -> None:
    """The client reads ECONNRESET, not an orderly end."""
    loopback.script(Cut(reset=True))

    with pytest.raises(ConnectionResetError):
        read(loopback)


def test_a_drip_arrives_whole_and_piece_by_piece(loopback: LoopbackServer) -> None:
    """Each read is in time, the answer as a whole is slow."""
    loopback.script(Drip(Answer(body=b"slowly"), every_s=0.01, size=2))

    with connect(loopback) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        pieces = [answer.read1(100) for _ in range(3)]

    assert pieces == [b"sl", b"ow", b"ly"]


def test_garbage_is_sent_as_it_is(loopback: LoopbackServer) -> None:
    """What a client makes of it is its own affair."""
    loopback.script(Raw(b"SSH-2.0-whatever\r\n"))

    with pytest.raises(http.client.BadStatusLine):
        read(loopback)


def test_a_delayed_answer_comes_when_the_test_lets_it(loopback: LoopbackServer) -> None:
    """Meanwhile other connections are answered."""
    gate = threading.Event()
    loopback.script(Hold(gate, Answer(body=b"held")))

    with connect(loopback) as held:
        held.request("GET", "/")
        meanwhile = read(loopback)
        gate.set()
        assert held.getresponse().read() == b"held"

    assert meanwhile == b""


def test_a_delay_holds_up_one_connection_only(loopback: LoopbackServer) -> None:
    """Fifty slow answers at once take as long as one."""
    loopback.script(*[Answer(delay_s=0.1)] * 50)
    began_s = time.monotonic()

    threads = [threading.Thread(target=read, args=(loopback,)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert time.monotonic() - began_s < 50 * 0.1


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_said_in_both_forms(as_date: bool) -> None:
    """Seconds, or a date counted from the given time."""
    answer = come_back_later(503, after_s=7, as_date=as_date, now_s=1_700_000_000)

    assert answer.status == 503
    assert parse_retry_after(answer.headers["Retry-After"], now_s=1_700_000_000) == 7


def test_a_redirect_to_itself_goes_in_circles() -> None:
    """Followed for as long as a client follows."""
    with LoopbackServer(redirect("/again", 307)) as server, connect(server) as connection:
        for _ in range(3):
            connection.request("GET", "/again")
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.headers["Location"]) == (307, "/again")


def test_a_stopped_server_refuses_and_comes_back_on_the_same_port(loopback: LoopbackServer) -> None:
    """An outage, and its end."""
    read(loopback)
    loopback.stop()
    with pytest.raises(ConnectionRefusedError):
        read(loopback)
    loopback.start()

    assert read(loopback) == b""


def test_a_closed_port_refuses() -> None:
    """At once."""
    with closed_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_silent_port_accepts_and_says_nothing() -> None:
    """A handshake or an answer is waited for in vain."""
    with silent_port() as port, socket.create_connection(("127.0.0.1", port), timeout=SHORT_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_connecting_to_a_deaf_port_stalls() -> None:
    """What a firewall that drops packets does."""
    with deaf_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=SHORT_S)


def test_a_request_that_is_no_http_is_answered_400(loopback: LoopbackServer) -> None:
    """And the connection ends."""
    with socket.create_connection(("127.0.0.1", loopback.port), timeout=10) as client:
        client.sendall(b"nonsense\r\n\r\n")
        answer = client.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_client_that_expects_it_is_asked_to_continue(loopback: LoopbackServer) -> None:
    """As curl and botocore ask before a large body."""
    with socket.create_connection(("127.0.0.1", loopback.port), timeout=10) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ok")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")

    assert loopback.requests[0].body == b"ok"


def test_head_and_204_carry_no_body(loopback: LoopbackServer) -> None:
    """So that the connection stays in step."""
    loopback.script(Answer(body=b"abc"), Answer(204, b"never"), Answer(body=b"next"))

    with connect(loopback) as connection:
        seen = []
        for method in ("HEAD", "GET", "GET"):
            connection.request(method, "/")
            seen.append(connection.getresponse().read())

    assert seen == [b"", b"", b"next"]


def test_tls_is_spoken_with_a_certificate_of_the_tests_own(tmp_path: Path) -> None:
    """A client that trusts the authority is served; any other refuses."""
    authority = make_ca(tmp_path)

    with LoopbackServer(Answer(body=b"safe"), tls=authority.issue().server_context()) as server:
        with closing(
            http.client.HTTPSConnection("localhost", server.port, timeout=10, context=authority.client_context())
        ) as trusting:
            trusting.request("GET", "/")
            body = trusting.getresponse().read()
        with (
            closing(http.client.HTTPSConnection("localhost", server.port, timeout=10)) as doubting,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            doubting.request("GET", "/")

    assert body == b"safe"
    assert server.url == f"https://localhost:{server.port}"


def test_a_server_stops_in_the_middle_of_a_handshake(tmp_path: Path) -> None:
    """Without a warning."""
    with (
        LoopbackServer(tls=make_ca(tmp_path).issue().server_context()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(b"\x16\x03\x01")
        server.stop()

        assert client.recv(1) == b""


@pytest.mark.parametrize(("hosts", "has_expired"), [(("elsewhere.example",), False), (("localhost",), True)])
def test_a_wrong_certificate_is_refused(tmp_path: Path, hosts: tuple[str, ...], has_expired: bool) -> None:
    """For another host, or out of date."""
    authority = make_ca(tmp_path)
    context = authority.issue(*hosts, has_expired=has_expired).server_context()

    with (
        LoopbackServer(tls=context) as server,
        closing(
            http.client.HTTPSConnection("localhost", server.port, timeout=10, context=authority.client_context())
        ) as client,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        client.request("GET", "/")
