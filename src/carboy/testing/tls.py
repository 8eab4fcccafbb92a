"""Certificates for tests: an authority made on the spot, and what it issues, good and bad."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from carboy.extras import extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName, KeyUsage

__all__ = ["Authority", "IssuedCertificate", "make_ca"]


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
        """Return what a server needs to speak TLS with it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_path, self.key_path)
        return context


class Authority:
    """A certificate authority that only the test trusts.

    Attributes:
        folder: where its files and those it issues lie.
        path: its own certificate, PEM: what clients are given to trust.
    """

    def __init__(self, folder: Path, certificate: "Certificate", key: "EllipticCurvePrivateKey") -> None:
        self.folder = folder
        self.path: Path = folder / "ca.pem"
        self._certificate, self._key = certificate, key
        self._issued = 0

    def client_context(self) -> ssl.SSLContext:
        """Return what a client needs to trust it, and nothing else."""
        return ssl.create_default_context(cafile=self.path)

    def issue(self, *hosts: str, has_expired: bool = False) -> IssuedCertificate:
        """Issue a server certificate.

        Args:
            hosts: names and addresses it is for; `localhost` and `127.0.0.1` when none is given.
            has_expired: make one whose time was over yesterday.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        hosts = hosts or ("localhost", "127.0.0.1")
        key = ec.generate_private_key(ec.SECP256R1())
        end = datetime.now(UTC) + timedelta(days=-1 if has_expired else 30)
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = _builder(hosts[0], self._certificate.subject.rfc4514_string().removeprefix("CN="), end)
        certificate = (
            builder.public_key(key.public_key())
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, _sha256())
        )
        self._issued += 1
        stem = self.folder / f"server-{self._issued}"
        return IssuedCertificate(
            _write_certificate(stem.with_suffix(".pem"), certificate),
            _write_key(stem.with_suffix(".key"), key),
            self.path,
        )


def make_ca(folder: Path, name: str = "Carboy test authority") -> Authority:
    """Make an authority whose files lie in a folder that exists."""
    with extra("config"):
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(name, name, datetime.now(UTC) + timedelta(days=30))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ca_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, _sha256())
    )
    authority = Authority(folder, certificate, key)
    _write_certificate(authority.path, certificate)
    return authority


def _builder(subject: str, issuer: str, end: datetime) -> "CertificateBuilder":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def name(common_name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=60))
        .not_valid_after(end)
    )


def _ca_usage() -> "KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _sha256() -> "SHA256":
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


def _write_certificate(path: Path, certificate: "Certificate") -> Path:
    from cryptography.hazmat.primitives.serialization import Encoding

    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def _write_key(path: Path, key: "EllipticCurvePrivateKey") -> Path:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
