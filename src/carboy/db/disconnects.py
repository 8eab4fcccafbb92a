"""Tell what a failed connect means: the login was refused, the server is away, its certificate is wrong, or else.

Sources: "Server Error Message Reference" of MySQL 8.4; PostgreSQL 17, appendix A. psycopg carries no code on connect.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Literal

__all__ = ["Kind", "kind_of"]

Kind = Literal["refused", "unsure", "away", "certificate", "other"]
"""`unsure`: the server said no, and whether to the login cannot be told."""

_MYSQL_REFUSED = 1045
_MYSQL_AWAY = {1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1203, 2002, 2003, 2006, 2013, 2055}
_PG_REFUSED = {"28P01"}
_PG_OTHER = {"28000", "3D000", "42501", "0A000"}
_PG_AWAY_CLASSES = ("08", "53", "57", "58")
_REFUSED_WORDS = ("password authentication failed", "PAM authentication failed")
_CERTIFICATE_WORDS = ("certificate verify failed", "does not match host name", "root certificate file")
_OTHER_WORDS = (
    "does not exist", "no pg_hba.conf entry", "does not support SSL", "could not translate host name",
    "Name or service not known", "nodename nor servname", "permission denied for database", "missing \"=\"",
    "invalid connection option", "invalid port number", "could not read root certificate",
)  # fmt: skip
_AWAY_WORDS = (
    "Connection refused", "Connection reset", "timeout expired", "timed out", "server closed the connection",
    "is starting up", "is shutting down", "recovery mode", "too many clients", "too many connections",
    "connection slots", "terminating connection", "could not receive data", "could not send", "No route to host",
    "Network is unreachable", "unexpected eof", "Temporary failure in name resolution", "the database system is",
    "connection is bad", "No such file or directory",
)  # fmt: skip


def kind_of(dialect: str, error: BaseException) -> Kind:
    """Return what an error of a DB-API's `connect` means.

    Args:
        dialect: SQLAlchemy's name of the database.
        error: as the driver raised it.
    """
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in _chain(error)):
        return "certificate"
    if any(isinstance(one, socket.gaierror) and one.errno != socket.EAI_AGAIN for one in _chain(error)):
        return "other"
    if dialect in {"mysql", "mariadb"}:
        code = error.args[0] if error.args else None
        return "refused" if code == _MYSQL_REFUSED else "away" if code in _MYSQL_AWAY else "other"
    return _kind_of_postgres(error) if dialect == "postgresql" else "other"


def _kind_of_postgres(error: BaseException) -> Kind:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        if state in _PG_REFUSED:
            return "refused"
        return "away" if state.startswith(_PG_AWAY_CLASSES) else "other" if state in _PG_OTHER else "unsure"
    text = str(error)
    groups: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("refused", _REFUSED_WORDS),
        ("certificate", _CERTIFICATE_WORDS),
        ("other", _OTHER_WORDS),
        ("away", _AWAY_WORDS),
    )
    for kind, words in groups:
        if any(word in text for word in words):
            return kind
    return "unsure"  # the server may speak another language


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [one.__cause__, one.__context__, getattr(one, "original_exception", None)]
