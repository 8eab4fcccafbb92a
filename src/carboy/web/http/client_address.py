"""What trusted proxies say of a request: the client's address, scheme and path; and how the client is counted."""

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_is_prefix = re.compile(r"(/[\w.~!$&'()*+;=:@-]+)+", re.ASCII).fullmatch


def client_address(peer: str, forwarded_for: str | None, trusted_proxies: int) -> str:
    """Return the address of the client, as far as the proxies in front are trusted.

    Args:
        peer: the address at the other end of the connection.
        forwarded_for: the value of `X-Forwarded-For`, all such headers joined by commas.
        trusted_proxies: how many proxies of ours append to it; 0 ignores it.
    """
    if trusted_proxies < 1 or not forwarded_for:
        return peer
    return _address(trusted_entry(forwarded_for, trusted_proxies)) or peer


def trusted_entry(header: str, trusted_proxies: int) -> str:
    """Return the entry of a forwarded header that the outermost trusted proxy wrote.

    Each proxy appends an entry. So with one trusted proxy the last one counts, with two the last but one; whatever
    stands further left was written by the client and proves nothing. Where there are fewer entries than proxies, all
    are theirs and the first one counts.
    """
    entries = header.rsplit(",", trusted_proxies)
    return (entries[-trusted_proxies] if len(entries) > trusted_proxies else entries[0]).strip()


def set_scheme(environ: "WSGIEnvironment", trusted_proxies: int) -> None:
    """Set the scheme that the outermost trusted proxy saw."""
    scheme = trusted_entry(environ.get("HTTP_X_FORWARDED_PROTO", ""), trusted_proxies).lower()
    if scheme in {"http", "https"}:
        environ["wsgi.url_scheme"] = scheme


def set_prefix(environ: "WSGIEnvironment", trusted_proxies: int) -> None:
    """Put the prefix that a proxy removed back in front of the path, as where the application is mounted."""
    prefix = trusted_entry(environ.get("HTTP_X_FORWARDED_PREFIX", ""), trusted_proxies).rstrip("/")
    if _is_prefix(prefix):
        for name in {"RAW_URI", "REQUEST_URI"} & environ.keys():
            if environ[name].startswith("/"):
                environ[name] = prefix + environ[name].removeprefix(environ.get("SCRIPT_NAME", ""))
        environ["SCRIPT_NAME"] = prefix


@lru_cache(maxsize=4096)
def bucket_of(address: str) -> str:
    """Return the name under which an address is counted: itself for IPv4, its /64 for IPv6.

    One IPv6 subscriber has at least a /64; counting single addresses would limit no one.
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


@lru_cache(maxsize=4096)
def _address(entry: str) -> str | None:
    """Return the address of an entry, without port and brackets; None where it is no address."""
    text = entry.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
