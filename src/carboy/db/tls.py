"""TLS to the database: one context for all connections of a process, verified wherever that is possible.

Source: "Using SSL/TLS to encrypt a connection to a DB instance" in the user guide of Amazon RDS.
"""

import re
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carboy.errors import ConfigurationError

_SUFFIXES = (
    "amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk",
    "csp.hci.ic.gov",
)  # fmt: skip
_RDS = re.compile(rf".+\.rds(?:\.[a-z]+(?:-[a-z]+)+-\d+)?\.(?:{'|'.join(map(re.escape, _SUFFIXES))})\.?")
_BUNDLES = (
    (".cn", "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem"),
    (".us-gov-", "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem"),
    (".amazonaws.com", "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"),
)


def is_rds(host: str) -> bool:
    """Return whether a host is one of Amazon's databases, in any partition.

    China's names have their region behind `rds`, those of the other partitions before it. The suffixes are botocore's.
    """
    return _RDS.fullmatch(host.lower()) is not None


def bundle_hint(host: str) -> str:
    """Return what to set so that a host can be verified; for one of RDS with the address of its partition's bundle."""
    hint = "set DB_TLS_CA to the PEM of its authority"
    if not is_rds(host):
        return f"{hint}; for RDS that is {_BUNDLES[-1][1]}"
    name = host.lower().rstrip(".")
    url = next((url for mark, url in _BUNDLES if mark in name), None)
    return f"{hint}, {url}" if url else f"{hint}: the certificate bundle of RDS for its region"


class Tls:
    """Says how a connection is verified.

    Args:
        ca: PEM of the authorities; None for the system's, and for hosts of RDS only.
    """

    def __init__(self, ca: Path | None) -> None:
        self.ca = ca
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def verifies(self, host: str) -> bool:
        """Return whether a host's certificate and name are verified."""
        return self.ca is not None or is_rds(host)

    @property
    def context(self) -> ssl.SSLContext:
        """The one context: loading the authorities costs ten times the handshake."""
        with self._lock:
            if self._context is None:
                try:
                    self._context = ssl.create_default_context(cafile=self.ca)
                except (ssl.SSLError, OSError) as error:
                    raise ConfigurationError(
                        "DB_TLS_CA cannot be used", f"`{self.ca}` is not a PEM file of certificates", bundle_hint("")
                    ) from error
                self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # what servers sign for themselves fails it
            return self._context

    @property
    def ends_at(self) -> datetime | None:
        """When the first of the authorities in the file ends; None without a file."""
        if self.ca is None:
            return None
        ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in self.context.get_ca_certs()]
        return datetime.fromtimestamp(min(ends), UTC) if ends else None

    def arguments(self, dialect: str, host: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the driver's `connect` needs for a host.

        Args:
            dialect: SQLAlchemy's name of the database.
            host: that is connected to.
            given: the arguments from the URL, which are stronger where nothing is verified here.
        """
        if not self.verifies(host):
            return {}
        if dialect == "postgresql":
            if self.ca is not None:
                self.context  # noqa: B018 (reads the file: libpq says what is wrong only once the server answers)
            root = str(self.ca) if self.ca is not None else given.get("sslrootcert", "system")
            return {"sslmode": "verify-full", "sslrootcert": root}
        return {"ssl": self.context}
