"""Malformed requests and slow clients, over real connections to the gateway."""

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from carboy.testing import ServeProcess, serve_process

PATH = "/api/v1/s3/alert"
ALERT = b'{"alerts": [{"id": "a", "created_at": 1484661060000}]}'
ENVIRON = {
    "HEADER_TIMEOUT_S": "1",
    "KEEPALIVE_S": "1",
    "BODY_TIMEOUT_S": "1",
    "RATE_LIMIT": "off",
    "LOG_FORMAT": "json",
    "MODULES": "carboy.services.archive",
}


class Gateway:
    """A served gateway and a key for it."""

    def __init__(self, server: ServeProcess, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.key = (folder / "instance" / "local-key").read_text().strip()

    def send(self, data: bytes, *, and_end: bool = False, timeout_s: float = 10) -> bytes:
        """Send raw bytes and return all that comes back until the server closes; `and_end` ends our side first."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=timeout_s) as client:
            with suppress(OSError):  # it may have closed already
                client.sendall(data)
                if and_end:
                    client.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(OSError):
                while chunk := client.recv(65536):
                    answer += chunk
            return answer

    def head(self, *lines: bytes, method: bytes = b"POST", target: bytes = PATH.encode()) -> bytes:
        key = b"Authorization: Bearer " + self.key.encode()
        return b"\r\n".join(
            [method + b" " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", key, *lines, b"", b""]
        )

    def is_well(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def archived(self) -> list[str]:
        archive = self.folder / "instance" / "archive"
        return [path.name for path in archive.rglob("*") if path.is_file() and path.name[0] != "."]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with serve_process(folder, "--threads", "16", environ=ENVIRON) as server:
        yield Gateway(server, folder)


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


def refused(answer: bytes) -> bool:
    """Return whether all were refused: 4xx (or 501, 505 of the server itself), or a closed connection."""
    return all(400 <= code < 500 or code in {501, 505} for code in statuses(answer))


BODIES = {
    "a megabyte of [": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 100_000,
    "a compressed bomb": gzip.compress(b'{"alerts": [' + b" " * 50_000_000 + b"]}"),
    "utf-16": ALERT.decode().encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + ALERT,
    "NaN": b'{"alerts": [{"id": "a", "created_at": NaN}]}',
    "a key twice": b'{"alerts": [], "alerts": [{"id": "a", "created_at": 1}]}',
    "a lone surrogate": b'{"alerts": [{"id": "a", "created_at": 1, "t": "\\udfff"}]}',
    "many wrong alerts": b'{"alerts": [' + b"{}," * 300_000 + b"{}]}",
    "an endless number": b'{"alerts": [{"id": "a", "created_at": ' + b"9" * 900_000 + b"}]}",
    "an endless text": b'{"alerts": [{"id": "' + b"a" * 1_000_000 + b'", "created_at": 1}]}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_in_short(gateway: Gateway, name: str) -> None:
    """With a 4xx that is no larger than what was sent, and the next caller is answered."""
    body = BODIES[name]
    lines = [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    if name == "a compressed bomb":
        lines.append(b"Content-Encoding: gzip")

    answer = gateway.send(gateway.head(*lines) + body)

    assert [400 <= code < 500 for code in statuses(answer)] == [True]
    assert b"application/problem+json" in answer
    assert len(answer) < 200_000
    assert gateway.is_well()
    assert gateway.archived() == []


@pytest.mark.parametrize("kind", ["length", "chunked", "endless chunks"])
def test_a_body_that_is_too_large_is_a_413(gateway: Gateway, kind: str) -> None:
    """Whether it says so or not; it is not read to its end."""
    if kind == "length":
        data = gateway.head(b"Content-Length: 99999999999") + b"x" * 100
    else:
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        data = gateway.head(b"Transfer-Encoding: chunked") + chunk * 20 + (b"0\r\n\r\n" if kind == "chunked" else b"")

    answer = gateway.send(data)

    assert statuses(answer) in ([413], []), answer[:300]
    assert gateway.is_well()


FRAMING: dict[str, bytes] = {
    "two lengths": b"Content-Length: 5\r\nContent-Length: 54",
    "lengths in one": b"Content-Length: 5, 54",
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "a negative length": b"Content-Length: -5",
    "a length with a sign": b"Content-Length: +54",
    "a length in hex": b"Content-Length: 0x36",
    "an endless length": b"Content-Length: " + b"9" * 400,
    "an unknown coding": b"Transfer-Encoding: cow",
    "chunks twice": b"Transfer-Encoding: chunked, chunked",
    "chunks last but one": b"Transfer-Encoding: chunked, identity",
    "a space in the name": b"Content-Length : 54",
    "a folded line": b"X-A: 1\r\n  Content-Length: 54",
    "a bare carriage return": b"X-A: 1\rContent-Length: 54",
    "a NUL": b"X-A: 1\x00\r\nContent-Length: 54",
}


@pytest.mark.parametrize("name", FRAMING)
def test_a_request_that_two_parsers_would_read_differently_is_one_or_none(gateway: Gateway, name: str) -> None:
    """So nothing can be smuggled past a proxy: what follows is never taken for a request of its own."""
    path = f"/smuggled-by-{name.replace(' ', '-')}"
    smuggled = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()

    head = gateway.head(b"Content-Type: application/json", FRAMING[name]).replace(b"Connection: close\r\n", b"")
    answer = gateway.send(head + b"0\r\n\r\n" + smuggled)

    assert refused(answer), answer[:500]
    assert path.encode() not in answer
    assert path not in gateway.server.said
    assert gateway.is_well()


CHUNKS = {
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "no hex": b"xyz\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "an endless size": b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n",
    "less than it said": b"5\r\nabc\r\n0\r\n\r\n",
    "cut off": b"100\r\n" + ALERT[:-2],
}


@pytest.mark.parametrize("name", CHUNKS)
def test_invalid_chunks_are_no_body(gateway: Gateway, name: str) -> None:
    head = gateway.head(b"Content-Type: application/json", b"Transfer-Encoding: chunked")

    answer = gateway.send(head + CHUNKS[name], and_end=True)

    assert refused(answer), answer[:500]
    assert gateway.archived() == []
    assert gateway.is_well()


TARGETS = [
    b"/api/v1/s3/alert/..%2f..%2f..%2fetc%2fpasswd",
    b"/api/v1/s3/alert/../../../etc/passwd",
    b"/api/v1/s3/alert/%00",
    b"/api/v1/s3/alert/a%00b",
    b"/api/v1/s3/alert/%c0%ae%c0%ae/",
    b"/api/v1/s3/alert/%ff",
    b"/api/v1/s3/alert/" + b"a" * 7000,
    b"/api/v1/s3/alert/%zz",
    b"//api/v1/s3/alert/a",
    b"//evil.example.com/%2e%2e",
    b"/api/v1/webhooks/..%2fthreatstack/a",
    b"/api/v1/webhooks/threatstack/..%2f..%2fx",
    b"/api/v1/s3/alert?start=%00&end=%ff",
    b"/api/v1/s3/alert?start=" + b"9" * 4000,
    b"/api/jobs/99999999999999999999",
    b"/api/jobs/9223372036854775808",
    b"/api/jobs?cursor=9999999999999999999",
    b"/docs/../openapi.json/x",
    b"http://evil.example.com/api/v1/s3/alert/a",
    b"*",
    b"/\\..\\..\\etc\\passwd",
]


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_a_path_trick_leads_nowhere(gateway: Gateway, target: bytes) -> None:
    """Never a 5xx, never a file, never a redirect to elsewhere."""
    answer = gateway.send(gateway.head(method=b"GET", target=target))

    assert all(200 <= code < 500 for code in statuses(answer)), answer[:500]
    assert b"root:" not in answer
    assert not re.search(rb"location: *(?:https?:)?//evil", answer, re.IGNORECASE)
    assert gateway.is_well()


@pytest.mark.parametrize("method", [b"BREW", b"TRACE", b"CONNECT", b"PRI", b"G\x00T", b"A" * 3000, b""])
def test_an_invalid_method_is_refused(gateway: Gateway, method: bytes) -> None:
    assert refused(gateway.send(gateway.head(method=method, target=b"/livez")))
    assert gateway.is_well()


def test_a_request_id_cannot_write_headers(gateway: Gateway) -> None:
    """Nor lines in the log: it is kept only when it is harmless."""
    for given in (b"a b", b"x" * 129, b"<script>", b'a","level":"fatal', b"\xff\xfe", b"a\x7f", b"a\tb"):
        answer = gateway.send(gateway.head(b"X-Request-Id: " + given, method=b"GET", target=b"/livez"))
        head, _, _ = answer.partition(b"\r\n\r\n")
        ids = re.findall(rb"(?i)^x-request-id: *(.*?)\r?$", head, re.MULTILINE)
        assert len(ids) <= 1
        assert all(re.fullmatch(rb"[A-Za-z0-9._-]{1,128}", one) for one in ids)
    answer = gateway.send(gateway.head(b"X-Request-Id: a\r\nX-Request-Id: b", method=b"GET", target=b"/livez"))
    assert len(re.findall(rb"(?i)x-request-id:", answer)) <= 1


def test_hosts_and_headers_without_end_are_refused_or_harmless(gateway: Gateway) -> None:
    for lines in (
        b"Host: y",
        b"Host: evil.example.com:99999999",
        b"X-A: " + b"a" * 500_000,
        b"\r\n".join(b"X-%d: a" % number for number in range(5000)),
        b"Authorization: Bearer " + b"a" * 60_000,
        b"Cookie: " + b"a=b; " * 1000,
        b"Expect: 200-ok",
        b"Range: bytes=0-,0-,0-",
        b"Accept: " + b"application/x-ndjson;q=0.1," * 500,
    ):
        answer = gateway.send(gateway.head(lines, method=b"GET", target=b"/livez"))
        assert all(code < 500 or code in {501, 505} for code in statuses(answer)), lines[:40]
    assert gateway.is_well()


@pytest.mark.parametrize(
    "data", [b"", b"\r\n" * 1000, b"\x16\x03\x01\x02\x00\x01\x00", b"GET /livez", b"\x00" * 100_000]
)
def test_what_is_no_http_is_let_go(gateway: Gateway, data: bytes) -> None:
    assert refused(gateway.send(data))
    assert gateway.is_well()


HOST = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/v1/s3/alert HTTP/1.1\r\nHost: x\r\n"
CODINGS = (b"gzip", b"gzip, chunked", b"deflate,chunked", b"br", b"cow, chunked", b"x-gzip", b"identity, chunked")
REFUSALS = {
    "no Host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (HOST + b"Host: y\r\n\r\n", 400),
    "a Host that is none": (b"GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "two Hosts in HTTP/1.0": (b"GET /livez HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "no request line": (b"\r\n\r\n", 400),
    "a bare line feed": (b"GET /livez HTTP/1.1\nHost: x\n\n", 400),
    "no header": (HOST + b"nothing\r\n\r\n", 400),
    "a method that is none": (b"G\x01T /livez HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a version of the future": (b"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n", 400),
    "a length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "slow headers": (HOST[:20], 408),
    "a slow body": (POST + b"Content-Length: 100\r\n\r\n{", 408),
    "slow chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", 408),
    "an endless target": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "an unknown expectation": (HOST + b"Expect: the-best\r\n\r\n", 417),
    "an endless header": (HOST + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "too many headers": (HOST + b"X-A: a\r\n" * 500 + b"\r\n", 431),
    **{
        f"the coding {name.decode()}": (POST + b"Transfer-Encoding: " + name + b"\r\n\r\n0\r\n\r\n", 501)
        for name in (
            b"gzip",
            b"gzip, chunked",
            b"deflate,chunked",
            b"br",
            b"cow, chunked",
            b"x-gzip",
            b"identity, chunked",
        )
    },
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_the_server_itself_is_a_problem_document(gateway: Gateway, name: str) -> None:
    """One response with a request id, which no browser takes for a page, and the end of the connection."""
    data, status = REFUSALS[name]

    answer = gateway.send(data)

    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    problem = json.loads(body)
    assert statuses(answer) == [status]
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"connection"] == b"close"
    assert problem["request_id"].encode() == headers[b"x-request-id"]
    assert (problem["status"], problem["success"]) == (status, False)


def test_a_refusal_carries_the_id_and_the_path_that_came(gateway: Gateway) -> None:
    """Also where the headers are malformed; the response to HEAD has no body."""
    answer = gateway.send(b"GET /livez?a=secret HTTP/1.1\r\nX-Request-Id: abc-1\r\nHost : x\r\n\r\n")
    head = gateway.send(b"HEAD /livez HTTP/1.1\r\nX-Request-Id: abc-2\r\n\r\n")

    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["instance"], problem["request_id"]) == ("/livez", "abc-1")
    assert head.endswith(b"\r\n\r\n")
    assert b"X-Request-Id: abc-2" in head
    assert '"request_id":"abc-1"' in gateway.server.said.replace(" ", "")


def test_a_connection_gets_one_response_for_each_request(gateway: Gateway) -> None:
    """Also where a body that the application does not read is malformed: nothing unasked follows."""
    for rest in (b"2\r\naaaa\r\n0\r\n\r\n", b"zz\r\n", b"2\r\naa\r\n0\r\nbad trailer\r\n\r\n"):
        answer = gateway.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)

        assert len(statuses(answer)) == 1, answer


def test_what_only_a_proxy_may_say_is_not_believed_of_a_client(gateway: Gateway) -> None:
    """Neither the path before the path, nor the scheme, nor the address; not from loopback either."""
    for lines in (
        b"SCRIPT_NAME: /api",
        b"Script-Name: /api",
        b"PATH_INFO: /metrics",
        b"REMOTE_USER: root",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Protocol: http",
        b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Prefix: /api\r\nX-Forwarded-Host: evil.example.com",
        b"X_Forwarded_For: 203.0.113.9",
    ):
        assert statuses(gateway.send(gateway.head(lines, method=b"GET", target=b"/api/livez"))) == [404], lines
        assert statuses(gateway.send(gateway.head(lines, method=b"GET", target=b"/livez"))) == [200], lines
    assert "203.0.113.9" not in gateway.server.said


def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    """Each once, also behind a body."""
    body = b'{"alerts": []}'
    first = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert statuses(gateway.send(first + HOST + b"\r\n" + first + last)) == [404, 200, 404, 200]


@pytest.mark.parametrize("part", ["headers", "body"])
def test_forty_clients_of_a_byte_a_second_keep_no_client_out(tmp_path: Path, part: str) -> None:
    """More than there are threads; webhooks are accepted meanwhile, and each slow client is refused in time."""
    with serve_process(tmp_path, "--threads", "16", environ=ENVIRON) as server:
        _meet_slow_clients(Gateway(server, tmp_path), part)


def _meet_slow_clients(gateway: Gateway, part: str) -> None:
    body = json.dumps({"alerts": [{"id": f"slow-{part}", "created_at": 1_484_661_060_000}]}).encode()
    head = gateway.head(b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.server.port), timeout=20))
            for _ in range(40)
        ]
        for client in clients:
            client.sendall(head[:60] if part == "headers" else head + body[:3])
        for _ in range(5):
            for client in clients:
                with suppress(OSError):
                    client.sendall(b"x" if part == "headers" else b" ")
            assert statuses(gateway.send(head + body, timeout_s=5)) == [202]
            time.sleep(0.2)
        ends = [_last(client) for client in clients]
    assert all(refused(end) for end in ends)


def _last(client: socket.socket) -> bytes:
    """Return what a client receives before the server's timeout closes the connection."""
    seen = b""
    try:
        while chunk := client.recv(65536):
            seen += chunk
    except ConnectionError:
        pass
    return seen
