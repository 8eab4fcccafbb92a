"""Classify the errors of drivers: a refused login, an unreachable server, a demoted writer, a fault of the statement.

Sources: "Server Error Message Reference" of MySQL 8.4; PostgreSQL 17, appendix A; the errors of Galera, ProxySQL, RDS
Proxy and PgBouncer. psycopg carries no code on connect.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Literal

Kind = Literal["refused", "unsure", "unavailable", "certificate", "other"]
"""`unsure`: the server refused, and the error does not say whether it refused the login."""

_MYSQL_REFUSED = 1045
_MYSQL_UNAVAILABLE = {
    1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 2002, 2003, 2006, 2013, 2055,
    3032, 9001, 9501,
}  # fmt: skip
_MYSQL_READ_ONLY = {1792, 1836}
_MYSQL_OPTION = 1290  # `The MySQL server is running with the --read-only option`, and others
_MYSQL_UNKNOWN_COMMAND = 1047  # Galera: `WSREP has not yet prepared node for application use`
_MYSQL_BUSY = {
    1020, 1021, 1037, 1038, 1041, 1047, 1105, 1114, 1180, 1194, 1205, 1206, 1213, 1290, 1317, 1614, 1637, 1792,
    1836, 1927, 1969, 3024, 3100, 3101, 3168, 3572, 4031,
}  # fmt: skip
_PG_BUSY = {"25006", "40001", "40P01", "55P03", "55006"}
_SQLITE_BUSY = ("BUSY", "LOCKED", "IOERR", "FULL", "CANTOPEN", "READONLY", "NOMEM", "PROTOCOL", "INTERRUPT")
_PG_REFUSED = {"28P01"}
_PG_OTHER = {"28000", "3D000", "42501", "0A000"}
_PG_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_REFUSED_WORDS = ("password authentication failed", "PAM authentication failed")
_CERTIFICATE_WORDS = ("certificate verify failed", "does not match host name", "root certificate file")
_OTHER_WORDS = (
    "does not exist", "no pg_hba.conf entry", "does not support SSL", "could not translate host name",
    "Name or service not known", "nodename nor servname", "permission denied for database", "missing \"=\"",
    "invalid connection option", "invalid port number", "could not read root certificate", "invalid sslmode value",
)  # fmt: skip
_UNAVAILABLE_WORDS = (
    "Connection refused", "Connection reset", "timeout expired", "timed out", "server closed the connection",
    "is starting up", "is shutting down", "recovery mode", "too many clients", "too many connections",
    "connection slots", "terminating connection", "could not receive data", "could not send", "No route to host",
    "Network is unreachable", "unexpected eof", "Temporary failure in name resolution", "the database system is",
    "connection is bad", "No such file or directory", "EOF detected", "Host is down", "session is read-only",
    "hot standby mode", "Timed-out waiting", "pgbouncer cannot connect", "server login has been failing",
    "max_client_conn",
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
        return "refused" if code == _MYSQL_REFUSED else "unavailable" if code in _MYSQL_UNAVAILABLE else "other"
    return _kind_of_postgres(error) if dialect == "postgresql" else "other"


def code_of(error: BaseException) -> int | str | None:
    """Return the number of a MySQL or MariaDB error, or the SQLSTATE of a PostgreSQL one; None where there is neither.

    PyMySQL's errors have both; the number says more.
    """
    code = error.args[0] if error.args else None
    if isinstance(code, int):
        return code
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_demoted(error: BaseException) -> bool:
    """Return whether a driver's error says that this server takes no writes, as after a fail-over.

    Sources: MySQL errors 1290, 1792 and 1836; MariaDB Galera, a node outside of its cluster (1047); PostgreSQL,
    `read_only_sql_transaction` (25006), and what a standby says of locks and transaction ids.
    """
    code, text = error.args[0] if error.args else None, str(error)
    if code == _MYSQL_OPTION:
        return "read" in text.lower()
    if code == _MYSQL_UNKNOWN_COMMAND:
        return "WSREP" in text
    return code in _MYSQL_READ_ONLY or _is_of_standby(error, text)


def _is_of_standby(error: BaseException, text: str) -> bool:
    state = getattr(error, "sqlstate", None)
    return state == "25006" or (state in {"55000", "XX000"} and ("recovery is in" in text or "during recovery" in text))


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error of SQLAlchemy is temporary: the same statement may succeed later.

    A missing table, a syntax error or a NULL where none may be are faults of the code, whatever class a driver gives
    them.
    """
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as NoConnection

    from carboy.errors import Missing, UpstreamError

    if isinstance(error, UpstreamError | NoConnection):
        return not isinstance(error, Missing)
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if error.connection_invalidated or cause is None:
        return True
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(tuple(f"SQLITE_{one}" for one in _SQLITE_BUSY))
    code = code_of(cause)
    if isinstance(code, str):
        return code.startswith(_PG_UNAVAILABLE_CLASSES) or code in _PG_BUSY or is_demoted(cause)
    if code is not None:
        return code in _MYSQL_UNAVAILABLE | _MYSQL_BUSY or (code == 0 and not cause.args[1:])
    return type(cause).__name__ == "OperationalError" and not hasattr(cause, "sqlite_errorcode")


def _kind_of_postgres(error: BaseException) -> Kind:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        if state in _PG_REFUSED:
            return "refused"
        return (
            "unavailable" if state.startswith(_PG_UNAVAILABLE_CLASSES) else "other" if state in _PG_OTHER else "unsure"
        )
    text = str(error)
    groups: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("refused", _REFUSED_WORDS),
        ("certificate", _CERTIFICATE_WORDS),
        ("other", _OTHER_WORDS),
        ("unavailable", _UNAVAILABLE_WORDS),
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
