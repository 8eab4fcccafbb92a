"""SSRF: no destination leads to an address inside, however it is written and whatever its name resolves to."""

import socket
from typing import Any

import pytest

from carboy.config import Profile
from carboy.errors import ConfigurationError
from carboy.net import AddressGuard
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
from carboy.testing import LoopbackServer
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
