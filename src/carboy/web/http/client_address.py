"""Whose address a request comes from, and under which name it is counted."""

import ipaddress
from functools import lru_cache


def client_address(peer: str, forwarded_for: str | None, trusted_proxies: int) -> str:
    """Return the address of the client, as far as the proxies in front are trusted.

    Each proxy appends the address that it was called from. So with one trusted proxy the last entry is the client,
    with two the last but one; whatever stands further left was written by the client and proves nothing. Where there
    are fewer entries than proxies, all are theirs and the first is the client.

    Args:
        peer: the address at the other end of the connection.
        forwarded_for: the value of `X-Forwarded-For`, all such headers joined by commas.
        trusted_proxies: how many proxies of ours append to it; 0 ignores it.
    """
    if trusted_proxies < 1 or not forwarded_for:
        return peer
    entries = forwarded_for.rsplit(",", trusted_proxies)
    return _address(entries[-trusted_proxies] if len(entries) > trusted_proxies else entries[0]) or peer


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
