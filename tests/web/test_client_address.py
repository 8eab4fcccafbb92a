"""Whose address counts, when there are proxies in front."""

import ipaddress
from typing import Any

import pytest
from flask import Flask, request, url_for
from hypothesis import given
from hypothesis import strategies as st

from carboy.errors import ConfigurationError
from carboy.raw_request import raw_url
from carboy.web.http.client_address import bucket_of, client_address

_ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@pytest.mark.parametrize(
    ("forwarded", "proxies", "expected"),
    [
        (None, 1, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("1.1.1.1", 0, "10.0.0.1"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("1.1.1.1", 2, "1.1.1.1"),
        ("6.6.6.6,1.1.1.1:4711", 1, "1.1.1.1"),
        ("[2001:db8::1]:443", 1, "2001:db8::1"),
        ('"[2001:db8::1]"', 1, "2001:db8::1"),
        ("2001:DB8:0::1", 1, "2001:db8::1"),
        ("6.6.6.6, unknown", 1, "10.0.0.1"),
        ("6.6.6.6,", 1, "10.0.0.1"),
        ("<script>", 1, "10.0.0.1"),
    ],
)
def test_the_address_comes_through_trusted_proxies_only(forwarded: str | None, proxies: int, expected: str) -> None:
    """The entry that the outermost trusted proxy wrote; what stands left of it the client can forge."""
    assert client_address("10.0.0.1", forwarded, proxies) == expected


@pytest.mark.slow
@given(st.text(), _ADDRESSES, st.lists(_ADDRESSES, max_size=4))
def test_a_client_cannot_choose_its_address(forged: str, client: str, proxies: list[str]) -> None:
    """With any header that it sends itself."""
    header = ", ".join([forged, client, *proxies])

    assert client_address("10.0.0.1", header, len(proxies) + 1) == client


@given(st.text(), st.text(), st.integers(0, 5))
def test_an_address_is_always_an_address_or_the_peers(forged: str, peer: str, proxies: int) -> None:
    """Never a text of the caller's."""
    found = client_address(peer, forged, proxies)

    if found != peer:
        ipaddress.ip_address(found)  # raises for anything else


@pytest.mark.slow
@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_ipv6_is_counted_by_its_64(address: ipaddress.IPv6Address, host: int) -> None:
    """A subscriber has at least so many addresses."""
    neighbour = ipaddress.IPv6Address((int(address) >> 64 << 64) | host)

    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert bucket_of(str(address)) == bucket_of(str(neighbour))
        assert bucket_of(str(address)) != bucket_of(str(ipaddress.IPv6Address(int(address) ^ 1 << 64)))


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_other_addresses_are_counted_as_they_are(address: str, bucket: str) -> None:
    """IPv4 one by one, also when it comes mapped into IPv6."""
    assert bucket_of(address) == bucket


def test_views_and_lines_see_the_client(make_app: Any, lines: Any) -> None:
    """`request.remote_addr` and the scheme are those that the outermost trusted proxy saw."""

    def register(app: Flask) -> None:
        @app.get("/")
        def seen() -> str:
            return f"{request.remote_addr} {request.scheme}"

    headers = {"X-Forwarded-For": "6.6.6.6, 1.1.1.1", "X-Forwarded-Proto": "https"}

    assert make_app(register, trusted_proxies=1).test_client().get("/", headers=headers).text == "1.1.1.1 https"
    assert lines("request")[0]["client"] == "1.1.1.1"
    assert make_app(register).test_client().get("/", headers=headers).text == "127.0.0.1 http"


@pytest.mark.parametrize(
    ("given", "proxies", "prefix"),
    [
        ("/shop", 1, "/shop"),
        ("/shop/", 1, "/shop"),
        ("/a/b", 1, "/a/b"),
        ("/forged, /shop", 1, "/shop"),
        ("/shop, /inner", 2, "/shop"),
        ("/shop", 2, "/shop"),
        ("", 1, ""),
        ("/", 1, ""),
        ("shop", 1, ""),
        ("//evil.example", 1, ""),
        ("https://evil.example", 1, ""),
        ("/shop?x", 1, ""),
        ("/a\\b", 1, ""),
        ("/%2e%2e", 1, ""),
        ("/\u00e9", 1, ""),
    ],
)
def test_a_prefix_that_a_proxy_removed_is_put_back(make_app: Any, given: str, proxies: int, prefix: str) -> None:
    """In links, in the address that senders sign, and in what an error names; anything else is no prefix."""

    def register(app: Flask) -> None:
        @app.get("/a%20b")
        def seen() -> list[str]:
            return [url_for("seen"), raw_url(request.environ)]

    app = make_app(register, trusted_proxies=proxies, trust_forwarded_prefix=True)
    headers = {"X-Forwarded-Prefix": given}

    seen = app.test_client().get("/a%2520b?c=%2F", headers=headers)
    missing = app.test_client().get("/nowhere", headers=headers)

    assert seen.json == [f"{prefix}/a%2520b", f"http://localhost{prefix}/a%2520b?c=%2F"]
    assert missing.json is not None
    assert missing.json["instance"] == f"{prefix}/nowhere"


def test_a_prefix_is_not_believed_unless_it_is_asked_for(make_app: Any) -> None:
    """As with werkzeug's `ProxyFix`: a client chooses it wherever no proxy replaces the header."""

    def register(app: Flask) -> None:
        app.add_url_rule("/", "root", lambda: url_for("root"))

    headers = {"X-Forwarded-Prefix": "/shop"}

    assert make_app(register, trusted_proxies=1).test_client().get("/", headers=headers).text == "/"
    with pytest.raises(ConfigurationError, match="TRUST_FORWARDED_PREFIX"):
        make_app(register, trust_forwarded_prefix=True)
