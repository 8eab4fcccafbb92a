"""TLS to the database: one context for all connections of a process, verified wherever that can be.

Source: "Using SSL/TLS to encrypt a connection to a DB instance" in the user guide of Amazon RDS.
"""

import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["BUNDLE_HINT", "Tls", "is_rds"]

BUNDLE_HINT = (
    "set DB_TLS_CA to the PEM of its authority; "
    "for RDS that is https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
)


def is_rds(host: str) -> bool:
    """Tell whether a host is one of Amazon's databases, in any partition."""
    return host.lower().rstrip(".").endswith((".rds.amazonaws.com", ".rds.amazonaws.com.cn"))


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
        """Tell whether a host's certificate and name are verified."""
        return self.ca is not None or is_rds(host)

    @property
    def context(self) -> ssl.SSLContext:
        """The one context: loading the authorities costs ten times the handshake."""
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=self.ca)
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
            root = str(self.ca) if self.ca is not None else given.get("sslrootcert", "system")
            return {"sslmode": "verify-full", "sslrootcert": root}
        return {"ssl": self.context}
