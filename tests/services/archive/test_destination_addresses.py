"""SSRF: no destination leads to an address inside, however it is written and whatever its name resolves to."""

import re
import socket
from typing import Any

import pytest

from carboy.config import Profile
from carboy.errors import ConfigurationError
from carboy.net import AddressGuard
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
from carboy.testing import Answer, LoopbackServer
from carboy.webhooks import WebhookClient

BY_TEXT = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104
    "0",
    "0x0",
    "10.0.0.1",
    "10.255.255.255",
    "167772161",
    "0x0a000001",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "0xac100001",
    "192.168.0.1",
    "192.168.1.1",
    "3232235521",
    "0xc0a80001",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "100.64.0.1",
    "100.127.255.254",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "168.63.129.16",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2001::1]",
    "[100::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "[fe80::1%25eth0]",
    "[::1%25lo]",
    "[::1%251]",
    "0177.1",
    "127.0x0.0.1",
    "00000000177.0.0.1",
    "0x7F.0X1",
    "127.0.0.1..",
    "2130706433.",
    "localhost..",
    "127．0．0．1",
    "１２７.0.0.1",
    "١٢٧.0.0.1",
    "⑯⑨.254.169.254",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "local\u00adhost",
    "127\u200b.0.0.1",
    "127.0.0.1\u2060",
    "ip6-localhost",
    "localhost.localdomain",
    "[::127.0.0.1]",
    "[::ffff:0:a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::c0a8:101]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[2002:a00:1::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "1681915905",
    "0x64400101",
    "0144.0100.1.1",
    "[::ffff:100.64.0.1]",
    "169.16689662",
    "169.254.43518",
    "169.254.0.23",
    "169.254.170.23",
    "[fd00:ec2::23]",
    "[fd20:ce::254]",
    "metadata.google.internal",
    "Metadata.Google.Internal.",
    "instance-data",
    "ok.example@127.0.0.1",
    "user:pass@169.254.169.254",
    "ok.example\\@127.0.0.1",
    "ok.example%40@127.0.0.1",
    "127.0.0.1%00.ok.example",
    "%5B::1%5D",
    "127.0.0.1:443",
    "[5f00::1]",
    "[4000::1]",
]
RESOLVED = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.1.1", "::1", "fd00:ec2::254", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("host", BY_TEXT)
def test_an_address_that_is_private_by_its_text_is_a_fault_at_start(host: str) -> None:
    table = DestinationConfig(f"https://{host}/hooks")

    with pytest.raises(ConfigurationError):
        make_destinations({"siem": table}, ["threatstack"], Profile("prod"))


@pytest.mark.parametrize("address", RESOLVED)
def test_a_name_that_leads_inside_is_refused_at_the_attempt(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Also when the next look-up would say something else: the connection goes to what was looked up and checked."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    calls: list[str] = []

    def look_up(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        calls.append(host)
        found = address if len(calls) % 2 else "93.184.216.34"
        return [(family, socket.SOCK_STREAM, 6, "", (found, port, 0, 0) if ":" in found else (found, port))]

    with LoopbackServer() as server:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        url = f"http://hooks.example.com:{server.port}/"
        attempt = WebhookClient(url, guard=AddressGuard(), timeout_s=2.0).post(b"{}", {}, webhook_id="1")

        assert not attempt.is_delivered
        assert "not an address on the public internet" in attempt.error
        assert server.requests == []
        assert len(calls) == 1


@pytest.mark.parametrize("host", BY_TEXT)
def test_no_form_of_an_address_gets_through_at_the_attempt(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Though a hostile name server leads all that it is asked for to this machine."""
    real = socket.getaddrinfo

    def look_up(name: str, port: Any, *more: Any, **options: Any) -> list[Any]:
        try:
            return real(name, port, *more, **options | {"flags": socket.AI_NUMERICHOST})
        except (OSError, UnicodeError):
            return real("127.0.0.1", port, *more, **options)

    with LoopbackServer() as server:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        port = "" if re.search(r":\d+$", host) else f":{server.port}"
        client = WebhookClient(f"http://{host}{port}/hooks", guard=AddressGuard(), timeout_s=2.0)
        attempt = client.post(b"{}", {}, webhook_id="1")

        assert (attempt.is_delivered, attempt.status, server.requests) == (False, None, [])
        assert "time" not in attempt.error, "nothing was called"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/", "//127.1:{port}/", "http://[::ffff:7f00:1]:{port}/"])
def test_no_redirect_leads_inside(status: int, location: str) -> None:
    with LoopbackServer() as inside, LoopbackServer() as receiver:
        receiver.script(Answer(status, b"", {"Location": location.format(port=inside.port)}))
        client = WebhookClient(receiver.url, guard=AddressGuard(["127.0.0.1"]))
        attempt = client.post(b"{}", {}, webhook_id="1")

        assert (attempt.status, attempt.is_delivered, inside.requests) == (status, False, [])


def test_each_attempt_looks_up_its_name_and_one_private_address_of_several_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that led outside for the first attempt leads inside for the second: DNS rebinding."""
    found = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "10.0.0.1"], ["::ffff:127.0.0.2"]]

    def look_up(_host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in found.pop(0)
        ]

    with LoopbackServer(Answer(200, b"", {"Connection": "close"})) as server:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        guard = AddressGuard(["127.0.0.1"])
        client = WebhookClient(f"http://hooks.example.com:{server.port}/", guard=guard, timeout_s=2.0)
        outcomes = [client.post(b"{}", {}, webhook_id="1").is_delivered for _ in range(4)]

        assert outcomes == [True, False, False, False]
        assert found == []
