"""What a failed connect means, by the words and codes of each driver."""

import socket
import ssl

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from carboy.db.disconnects import is_demoted, is_unavailable, kind_of
from carboy.db.tls import is_rds
from carboy.db.url import choose_driver


def _mysql(code: int, cause: BaseException | None = None) -> pymysql.err.OperationalError:
    error = pymysql.err.OperationalError(code, "words")
    vars(error)["original_exception"] = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_mysql(1045), "refused"),
        *((_mysql(code), "other") for code in (1044, 1049, 1130, 3955)),
        *((_mysql(code), "unavailable") for code in (2003, 2006, 2013, 1040, 1053, 1226, 3032, 9001, 9501)),
        (_mysql(2003, socket.gaierror(socket.EAI_NONAME, "no such name")), "other"),
        (_mysql(2003, socket.gaierror(socket.EAI_AGAIN, "later")), "unavailable"),
        (_mysql(2003, ssl.SSLCertVerificationError("self-signed")), "certificate"),
    ],
)
def test_mysql_says_it_by_number(error: Exception, kind: str) -> None:
    """1045 alone is about the password."""
    assert kind_of("mysql", error) == kind_of("mariadb", error) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL:  password authentication failed for user "app"', "refused"),
        ('FATAL:  PAM authentication failed for user "app"', "refused"),
        ('FATAL:  database "x" does not exist', "other"),
        ('connection is bad: invalid sslmode value: "bogus"', "other"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4"', "other"),
        ("FATAL:  the database system is starting up", "unavailable"),
        ("FATAL:  sorry, too many clients already", "unavailable"),
        ('connection to server at "x" failed: Connection refused', "unavailable"),
        ('connection to server at "x", port 5432 failed: session is read-only', "unavailable"),
        ('connection to server at "x", port 5432 failed: server is in hot standby mode', "unavailable"),
        ("connection failed: SSL SYSCALL error: EOF detected", "unavailable"),
        ("connection failed: Host is down", "unavailable"),
        ("FATAL:  pgbouncer cannot connect to server", "unavailable"),
        ("FATAL:  server login has been failing, try again later (server_login_retry)", "unavailable"),
        ("FATAL:  no more connections allowed (max_client_conn)", "unavailable"),
        ("FATAL:  Timed-out waiting to acquire database connection", "unavailable"),
        ("SSL error: certificate verify failed", "certificate"),
        ('server certificate for "a" does not match host name "b"', "certificate"),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "unsure"),
    ],
)
def test_postgresql_says_it_in_words(text: str, kind: str) -> None:
    """In another language the message is not recognised."""
    assert kind_of("postgresql", psycopg.OperationalError(text)) == kind


def test_postgresql_says_it_by_state_where_the_driver_knows() -> None:
    """As other drivers do."""
    assert kind_of("postgresql", psycopg.errors.InvalidPassword()) == "refused"
    assert kind_of("postgresql", psycopg.errors.InvalidCatalogName()) == "other"
    assert kind_of("postgresql", psycopg.errors.CannotConnectNow()) == "unavailable"


def test_hosts_of_rds_are_known_in_every_partition() -> None:
    """They are verified without being asked to."""
    assert is_rds("a.b.eu-west-1.rds.amazonaws.com")
    assert is_rds("a.b.rds.cn-north-1.RDS.amazonaws.com.cn.")
    assert not is_rds("rds.amazonaws.com.example.org")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("mysql://h/d", "mysql+pymysql://h/d"),
        ("mariadb://h/d", "mysql+pymysql://h/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_the_driver_is_chosen_where_the_url_names_none(url: str, wanted: str) -> None:
    """One that is named stays."""
    assert choose_driver(url) == wanted


@pytest.mark.parametrize(
    ("error", "demoted", "unavailable"),
    [
        (pymysql.err.OperationalError(1047, "WSREP has not yet prepared node for application use"), True, True),
        (pymysql.err.OperationalError(1047, "Unknown command"), False, True),
        (pymysql.err.OperationalError(1290, "running with the --read-only option"), True, True),
        (pymysql.err.OperationalError(1290, "running with the --super-read-only option"), True, True),
        (pymysql.err.OperationalError(1290, "running with the READ_ONLY option"), True, True),
        (pymysql.err.OperationalError(1290, "running with the --skip-grant-tables option"), False, True),
        (pymysql.err.OperationalError(3100, "Error on observer while running replication hook"), False, True),
        (pymysql.err.OperationalError(3572, "lock(s) could not be acquired immediately"), False, True),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"), True, True),
        (psycopg.errors.ObjectNotInPrerequisiteState("cannot acquire … while recovery is in progress"), True, True),
        (psycopg.errors.InternalError_("cannot assign TransactionIds during recovery"), True, True),
        (psycopg.errors.ObjectNotInPrerequisiteState("currval of sequence is not yet defined"), False, False),
        (psycopg.errors.InternalError_("cache lookup failed"), False, False),
    ],
)
def test_a_server_that_takes_no_writes_is_known_by_its_words(
    error: Exception, demoted: bool, unavailable: bool
) -> None:
    """A standby, a demoted writer and a node outside of its cluster: the connection is dropped, and tried elsewhere."""
    assert is_demoted(error) is demoted
    assert is_unavailable(DBAPIError("INSERT", None, error)) is unavailable
