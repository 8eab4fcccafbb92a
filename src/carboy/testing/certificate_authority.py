"""TLS certificates for tests, issued by an authority of the test's own (trustme)."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from carboy.extras import extra

if TYPE_CHECKING:
    from trustme import CA, Blob


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate with its key, as files.

    Attributes:
        certificate_path: PEM.
        key_path: PEM, not encrypted, readable by the owner only.
        ca_path: PEM of the authority that issued it.
    """

    certificate_path: Path
    key_path: Path
    ca_path: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a server's TLS context with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_path, self.key_path)
        return context


class Authority:
    """A certificate authority that only the test trusts.

    Attributes:
        folder: the folder of its files and of those that it issues.
        path: its own certificate, PEM, for clients to trust.
    """

    def __init__(self, folder: Path, ca: "CA") -> None:
        self.folder = folder
        self.path: Path = folder / "ca.pem"
        self._ca = ca
        self._issued = 0
        ca.cert_pem.write_to_path(self.path)

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts this authority alone."""
        return ssl.create_default_context(cafile=self.path)

    def issue(self, *hosts: str, has_expired: bool = False) -> IssuedCertificate:
        """Issue a server certificate.

        Args:
            hosts: names and addresses it is valid for; `localhost` and `127.0.0.1` by default.
            has_expired: whether it expired yesterday.
        """
        now = datetime.now(UTC)
        end = now + timedelta(days=-1 if has_expired else 30)
        leaf = self._ca.issue_cert(
            *(hosts or ("localhost", "127.0.0.1")), not_before=end - timedelta(days=60), not_after=end
        )
        self._issued += 1
        stem = self.folder / f"server-{self._issued}"
        certificate, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        leaf.cert_chain_pems[0].write_to_path(certificate)
        _write_key(leaf.private_key_pem, key)
        return IssuedCertificate(certificate, key, self.path)


def make_ca(folder: Path, name: str = "Carboy test authority") -> Authority:
    """Make an authority whose files go to an existing folder."""
    with extra("testing"):
        from trustme import CA
    return Authority(folder, CA(organization_name=name))


def _write_key(pem: "Blob", path: Path) -> None:
    path.touch(mode=0o600)
    pem.write_to_path(path)
