"""SSRF guard: internal addresses are refused in every spelling, also when a name resolves differently later."""

import socket
from typing import Any

import pytest

from carboy.errors import ConfigurationError, Refused
from carboy.net import AddressGuard, ForbiddenAddress, Limits, Session, fetch, make_session
from carboy.testing import Answer, LoopbackServer, redirect

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "example.com",
    "[2606:4700::1]",
]
INSIDE = [
    "127.0.0.1", "127.1", "0", "0.0.0.0",  # noqa: S104
    "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",
    "0xA9FEA9FE", "2852039166", "192.0.0.192", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.255.255.250",
    "255.255.255.255", "240.0.0.1", "192.88.99.1", "168.63.129.16",
    "::", "::1", "[::1]", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::127.0.0.1",
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254",
    "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1", "3fff::1", "100::1",
    "127.0.0.1.", "localhost", "LOCALHOST.", "a.localhost", "127%2e0.0.1", "１２７.0.0.1", "127。0。0。1", "",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_that_is_not_public_is_refused_by_its_text(host: str) -> None:
    """In every notation that a resolver or a socket understands."""
    with pytest.raises(ForbiddenAddress):
        AddressGuard().check_host(host)


@pytest.mark.parametrize("host", PUBLIC)
def test_public_hosts_pass(host: str) -> None:
    """Also IPv4 behind NAT64, where only IPv6 is routed."""
    assert not AddressGuard().refuses_host(host)


def test_networks_and_names_can_be_allowed() -> None:
    """By exact name, address or network; nothing else is allowed with them."""
    guard = AddressGuard(allow=["Hooks.internal", "10.1.0.0/16", "::1"])

    guard.check_host("10.1.255.3")
    guard.check_host("::ffff:10.1.0.1")
    guard.check_host("[::1]")
    guard.check_addresses("hooks.internal.", ["192.168.0.1"])
    for host in ("10.2.0.1", "127.0.0.1"):
        assert guard.refuses_host(host)
    with pytest.raises(ForbiddenAddress):
        guard.check_addresses("x.hooks.internal", ["192.168.0.1"])


@pytest.mark.parametrize("entry", ["", "10.0.0.0/99", "http://a", "a:80", "a b", "u@h"])
def test_an_allow_list_that_means_nothing_is_refused(entry: str) -> None:
    """When it is made, not at the first call."""
    with pytest.raises(ConfigurationError, match="allow list"):
        AddressGuard(allow=[entry])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "inside.test", "[::ffff:127.0.0.1]"]
)
def test_a_guarded_session_connects_to_no_address_inside(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """By its text, or by what the name leads to; nothing arrives."""
    _resolve_as(monkeypatch, {"inside.test": ["127.0.0.1"]})
    url = f"http://{host}:{loopback.port}/"

    with pytest.raises(ForbiddenAddress) as raised:
        Session(guard=AddressGuard()).get(url)
    with pytest.raises(Refused), make_session(url, guard=AddressGuard()) as session:
        fetch(session, url, {}, Limits(), what="it could not be called")
    assert isinstance(raised.value, Refused)
    assert loopback.connections == 0


def test_a_name_with_one_address_inside_is_refused(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mixed answer is how a resolver is talked into the second one."""
    _resolve_as(monkeypatch, {"mixed.test": ["8.8.8.8", "127.0.0.1"]})

    with pytest.raises(ForbiddenAddress):
        Session(guard=AddressGuard()).get(f"http://mixed.test:{loopback.port}/")


def test_a_name_is_looked_up_once(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the address that was checked is the one that is connected to."""
    asked = _resolve_as(monkeypatch, {"rebind.test": ["127.0.0.1"]}, then={"rebind.test": ["127.0.0.2"]})

    assert Session(guard=AddressGuard(allow=["127.0.0.1"])).get(f"http://rebind.test:{loopback.port}/").ok
    assert asked == ["rebind.test"]


def test_every_redirect_is_checked(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address may be allowed and the next one not."""
    _resolve_as(monkeypatch, {"outside.test": ["127.0.0.1"], "inside.test": ["127.0.0.1"]})
    loopback.script(redirect(f"http://inside.test:{loopback.port}/secret"))

    with pytest.raises(ForbiddenAddress, match=r"inside\.test"):
        Session(guard=AddressGuard(allow=["outside.test"])).get(f"http://outside.test:{loopback.port}/")
    assert len(loopback.requests) == 1


def test_behind_a_proxy_the_target_is_checked_and_the_proxy_is_not(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy itself may stand inside; what is known here of the target is checked."""
    _resolve_as(monkeypatch, {"inside.test": ["10.0.0.1"]}, unknown=["outside.test"])
    loopback.script(Answer(body=b"by proxy"))
    session = Session(guard=AddressGuard())
    proxies = {"http": loopback.url}

    assert session.get("http://outside.test/", proxies=proxies).content == b"by proxy"
    for url in ("http://inside.test/", "http://169.254.169.254/latest/meta-data"):
        with pytest.raises(ForbiddenAddress):
            session.get(url, proxies=proxies)
    assert len(loopback.requests) == 1


def _resolve_as(
    monkeypatch: pytest.MonkeyPatch,
    names: dict[str, list[str]],
    then: dict[str, list[str]] | None = None,
    unknown: list[str] | None = None,
) -> list[str]:
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host in (unknown or []):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        if host not in names:
            return real(host, port, *more, **options)
        table = then if then and host in asked else names
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in table[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked
