"""SSRF guard: which addresses a URL from outside may lead to.

The rules are here; `connections` applies them to the address that it connects to, so that a name which resolves
differently a moment later changes nothing.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from unicodedata import category, decimal, normalize
from urllib.parse import unquote

from carboy.errors import ConfigurationError, Refused

Address = IPv4Address | IPv6Address

# Source: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890), multicast and reserved space
_CLOSED_V4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    168.63.129.16/32
"""  # the last is Azure's host agent: a public address that answers virtual machines only
_PUBLIC_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = "2001::/23 2001:db8::/32 2002::/16 3fff::/20"  # Teredo and others, documentation, 6to4, documentation
_CLOSED = [ip_network(net) for net in f"{_CLOSED_V4} {_CLOSED_V6}".split()]
_NAT64 = IPv6Network("64:ff9b::/96")  # DNS64 maps every IPv4 server here where only IPv6 is routed
_OWN_NAMES = {
    "localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
}  # fmt: skip
"""Names of this machine, and of the metadata services of clouds."""
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)


class ForbiddenAddress(Refused):
    """A URL leads to an address that may not be called from here; nothing was sent."""


class AddressGuard:
    """Refuse addresses that are not on the public internet, except those that are allowed by name or network.

    Refused are loopback, private, link-local, shared (CGNAT), multicast, reserved and documentation addresses and the
    metadata services of clouds, in IPv6's notations of IPv4 addresses too. Where a proxy is in use, the proxy looks up
    the name: then only what can be seen here is checked, and the proxy must refuse the rest.

    Args:
        allow: host names (`hooks.internal`), addresses and networks (`10.1.0.0/16`) that may be called nevertheless.

    Raises:
        ConfigurationError: an entry of `allow` is not a host name, an address or a network.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._hosts: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in allow:
            try:
                self._networks.append(ip_network(entry, strict=False))
            except ValueError as error:
                if not entry or set(entry) & set("/:@[] "):
                    why = "it is not a host name, an address or a network"
                    hint = "write it as `hooks.internal`, `10.1.2.3` or `10.1.0.0/16`"
                    raise ConfigurationError(f"invalid entry in the allow list: `{entry}`", why, hint) from error
                self._hosts.add(_clean(entry))

    def refuses_host(self, host: str) -> bool:
        """Return whether a URL's host is forbidden by its text alone, without looking up a name.

        Decimal, octal, hexadecimal and short forms of IPv4 addresses are read as the system's resolver reads them.

        Args:
            host: as it stands in the URL, with or without brackets.
        """
        name = _clean(host)
        if name in self._hosts:
            return False
        address = _read_address(name)
        if address is not None:
            return self._refuses(address)
        return not name or name in _OWN_NAMES or name.endswith(".localhost") or not name.isprintable()

    def check_host(self, host: str) -> None:
        """Refuse a host that is forbidden by its text alone.

        Raises:
            ForbiddenAddress: see `refuses_host`.
        """
        if self.refuses_host(host):
            raise _forbidden(host)

    def check_addresses(self, host: str, addresses: Iterable[str]) -> None:
        """Refuse a host if any address that its name leads to is forbidden.

        Args:
            host: for the message, and to find it among the allowed names.
            addresses: as `getaddrinfo` returns them.

        Raises:
            ForbiddenAddress: one of them is not public and not allowed.
        """
        if _clean(host) in self._hosts:
            return
        if any(self._refuses(ip_address(address.partition("%")[0])) for address in addresses):
            raise _forbidden(host)

    def _refuses(self, address: Address) -> bool:
        real = _embedded(address)
        if any(candidate in net for net in self._networks for candidate in (address, real)):
            return False
        if isinstance(real, IPv6Address) and real not in _PUBLIC_V6:
            return True
        return any(real in net for net in _CLOSED)


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that a packet for this address reaches in the end, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _clean(host: str) -> str:
    """Return a host as resolvers and IDNA read it: digits of any script, without characters that cannot be seen."""
    plain = normalize("NFKC", unquote(host)).replace("\u3002", ".")
    seen = "".join(str(decimal(one, one)) for one in plain if category(one) != "Cf")
    return seen.strip().strip("[]").rstrip(".").lower()


def _read_address(name: str) -> Address | None:
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        pass
    if not _NUMERIC.fullmatch(name):
        return None
    try:
        return IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


def _forbidden(host: str) -> ForbiddenAddress:
    return ForbiddenAddress(
        f"`{host[:200]}` may not be called",
        "it is not an address on the public internet",
        "allow the host or its network explicitly if it is yours",
    )
