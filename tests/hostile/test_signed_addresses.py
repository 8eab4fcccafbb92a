"""A signature over the address holds for what was on the wire, whatever server or proxy brought it."""

import base64
import hmac
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from carboy import logs
from carboy.serve import lambda_handler
from carboy.serve.lambda_.handler import LambdaHandler
from carboy.testing import ServeProcess, serve_process
from carboy.testing.events import LambdaContext, alb, function_url, http_v1, http_v2, rest_v1
from carboy.web import create_app, runtime

TOML = (
    '[default.archive.sources.it]\nverify = "hmac"\nheader = "X-Signature"\nencoding = "base64"\n'
    'template = "{url}{body}"\nsecrets = ["k"]\n'
)
PATH = "/api/v1/webhooks/it"
HERE = b"http://localhost:8000"


def signature(url: bytes, body: bytes) -> bytes:
    return base64.b64encode(hmac.digest(b"k", url + body, "sha256"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "carboy.toml").write_text(TOML)
    with serve_process(folder, environ={"FLASK_PROFILE": "local", "MODULES": "carboy.services.archive"}) as running:
        yield running


def status(
    server: ServeProcess, target: bytes, signed: bytes, host: bytes = b"localhost:8000", version: bytes = b"1.1"
) -> int:
    """Send a webhook with a signature over an address; return the status."""
    body = b'{"n":1}'
    lines = [
        b"POST %s HTTP/%s" % (target, version), b"Host: " + host, b"Connection: close",
        b"X-Signature: " + signature(signed, body), b"Content-Length: %d" % len(body),
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"\r\n".join([*lines, b"", body]))
        return int(client.makefile("rb").readline().split()[1])


RAW = PATH.encode()


@pytest.mark.parametrize(
    ("target", "signed", "host"),
    [
        (RAW + b"?a=%2F%c3%a4", HERE + RAW + b"?a=%2F%c3%a4", b"localhost:8000"),
        (RAW + b"?", HERE + RAW + b"?", b"localhost:8000"),
        (RAW + b"?a=b#c", HERE + RAW + b"?a=b#c", b"localhost:8000"),
        (RAW + b'?a|{}^`"<>\\', HERE + RAW + b'?a|{}^`"<>\\', b"localhost:8000"),
        (b"/api/v1/webhooks/%69t", HERE + b"/api/v1/webhooks/%69t", b"localhost:8000"),
        (b"/api%2Fv1/webhooks/it", HERE + b"/api%2Fv1/webhooks/it", b"localhost:8000"),
        (b"/" + RAW, HERE + b"/" + RAW, b"localhost:8000"),
        (HERE + RAW + b"?a=%2F", HERE + RAW + b"?a=%2F", b"localhost:8000"),
        (RAW, b"http://LOCALHOST" + RAW, b"LOCALHOST"),
        (RAW, b"http://[::1]:8000" + RAW, b"[::1]:8000"),
        (RAW, b"http://xn--bcher-kva.example" + RAW, b"xn--bcher-kva.example"),
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_address_is_verified_as_it_is_on_the_wire(
    server: ServeProcess, target: bytes, signed: bytes, host: bytes, version: bytes
) -> None:
    """Every form of a target and a Host; an address that differs in one letter proves nothing."""
    assert status(server, target, signed, host, version) == 202
    assert status(server, target, signed + b"x", host, version) == 403


@pytest.mark.parametrize("host", [b"evil.example", b"localhost:8001", b"localhost"])
def test_another_host_is_another_address(server: ServeProcess, host: bytes) -> None:
    assert status(server, RAW, HERE + RAW, host) == 403
    assert status(server, b"http://evil.example" + RAW, b"http://evil.example" + RAW) == 403


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaHandler]:
    folder = tmp_path_factory.mktemp("lambda")
    (folder / "carboy.toml").write_text(TOML)
    settings: dict[str, Any] = {
        "modules": "carboy.services.archive", "instance_path": str(folder / "instance"), "log_level": "ERROR",
        "database_url": f"sqlite:///{folder}/test.db", "archive_url": "memory://",
    }  # fmt: skip
    made = lambda_handler(lambda: create_app("test", folder=folder, **settings))
    yield made
    runtime(made.application).close()
    logs.reset()


EVENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "HTTP API 1.0": http_v1,
    "HTTP API 2.0": http_v2,
    "function URL": function_url,
    "REST API": partial(rest_v1, domain="hooks.example.com"),
    "load balancer": partial(alb, host="hooks.example.com", multi_value=True),
}


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("query", ["", "a=b%2Fc", "redirect=https%3A%2F%2Fa%2Fb&e=a%40b", "a=1&a=2&b=", "x=%C3%A4"])
def test_an_address_is_verified_on_lambda(handler: LambdaHandler, kind: str, query: str) -> None:
    """Whether the event has the query as it was sent or decoded."""
    target, body = f"{PATH}?{query}".rstrip("?"), b'{"n":1}'
    signed = signature(f"https://hooks.example.com{target}".encode(), body).decode()

    def status(proof: str) -> int:
        sent = [] if kind == "load balancer" else [("host", "hooks.example.com"), ("x-forwarded-proto", "https")]
        headers = [*sent, ("x-signature", proof)]
        return int(handler(EVENTS[kind]("POST", target, headers=headers, body=body), LambdaContext())["statusCode"])

    assert (status(signed), status(signed[::-1])) == (202, 403)
