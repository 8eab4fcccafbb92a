"""MariaDB and PostgreSQL from Debian's packages, as private processes, with TLS on request."""

import glob
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from carboy.extras import extra
from carboy.testing.certificate_authority import make_ca
from carboy.testing.ports import HOST, free_port
from carboy.testing.processes.running import ServerProcess, drop_root, find_binary, run_process, server_folder

_USER, _PASSWORD, _DATABASE = "carboy", "first-password", "app"


@dataclass(frozen=True)
class DatabaseServer:
    """A running database server.

    What is committed outlives `restart`, though not a power cut: nothing is forced to the disk.

    Attributes:
        process: to restart, kill or freeze it.
        dialect: which of the two it is.
        port: on loopback.
        user: the administrator, who may do everything.
        password: of the administrator at the start.
        database: that stands ready, empty.
        ca_path: PEM of the authority behind its certificate; None without TLS.
    """

    process: ServerProcess
    dialect: Literal["mysql", "postgresql"]
    port: int
    ca_path: Path | None = None
    user: str = _USER
    password: str = _PASSWORD
    database: str = _DATABASE
    host: str = HOST

    def url(self, user: str = "", password: str = "", database: str = "") -> str:
        """Return an SQLAlchemy URL; over TLS, verified, where the server has it.

        Args:
            user: empty for the administrator.
            password: of that user.
            database: empty for the one that stands ready.
        """
        driver = "pymysql" if self.dialect == "mysql" else "psycopg"
        options = {}
        if self.ca_path is not None:
            verified = {"sslmode": "verify-full", "sslrootcert": str(self.ca_path)}
            options = {"ssl_ca": str(self.ca_path)} if self.dialect == "mysql" else verified
        login = f"{quote(user or self.user, safe='')}:{quote(password or self.password, safe='')}"
        address = f"{self.dialect}+{driver}://{login}@{self.host}:{self.port}/{database or self.database}"
        return f"{address}?{urlencode(options)}" if options else address

    def connect(self, user: str = "", password: str = "", database: str = "") -> Any:
        """Return a DB-API connection, committing each statement; the administrator's by default."""
        user, password, database = user or self.user, password or self.password, database or self.database
        with extra("db"):
            if self.dialect == "mysql":
                import pymysql

                return pymysql.connect(
                    host=self.host, port=self.port, user=user, password=password, database=database, autocommit=True
                )
            import psycopg

            return psycopg.connect(
                host=self.host, port=self.port, user=user, password=password, dbname=database, autocommit=True
            )

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the administrator and return the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.description else []
        return rows

    def create_database(self) -> str:
        """Make a new empty database, one that no other test has, and return its name."""
        taken = self._names()
        name = next(name for name in (f"test_{number}" for number in count(1)) if name not in taken)
        self.execute(f"CREATE DATABASE {name}")
        return name

    def create_user(self, user: str, password: str) -> None:
        """Make a user who may do everything; in PostgreSQL a superuser."""
        if self.dialect == "mysql":
            self.execute(
                f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'",
                f"GRANT ALL ON *.* TO '{user}'@'%'",
            )
        else:
            self.execute(f"CREATE ROLE \"{user}\" SUPERUSER LOGIN PASSWORD '{password}'")

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password; connections that are open stay open."""
        if self.dialect == "mysql":
            self.execute(f"ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'")
        else:
            self.execute(f"ALTER ROLE \"{user}\" PASSWORD '{password}'")

    def _names(self) -> set[str]:
        query = "SHOW DATABASES" if self.dialect == "mysql" else "SELECT datname FROM pg_database"
        return {row[0] for row in self.execute(query)}


_INIT_SQL = (
    f"CREATE USER IF NOT EXISTS '{_USER}'@'%' IDENTIFIED BY '{_PASSWORD}';\n"
    f"GRANT ALL ON *.* TO '{_USER}'@'%' WITH GRANT OPTION;\n"
    f"CREATE DATABASE IF NOT EXISTS {_DATABASE};\n"
)


@contextmanager
def mariadb(
    tls: bool | str = False, *, also_on: str = "", settings: Mapping[str, str | int] | None = None
) -> Iterator[DatabaseServer]:
    """Run MariaDB.

    Args:
        tls: offer TLS with a certificate of an authority of its own, for `localhost` and 127.0.0.1, or for the host
            named; connections without it are still taken.
        also_on: a further address of this machine to listen on, for test hosts.
        settings: of the server, stronger than ours: by itself it is small, and a power cut may cost the last second.

    Raises:
        MissingBinary: the Debian package `mariadb-server` is not installed.
    """
    package = "mariadb-server"
    installer = find_binary("mariadb-install-db", package)
    daemon = find_binary("mariadbd", package)
    user = drop_root("mysql")
    port = free_port()
    with server_folder(user=user) as folder:
        chosen: dict[str, Any] = {
            "datadir": folder / "data",
            "socket": folder / "socket",
            "pid-file": folder / "pid",
            "tmpdir": folder,
            "init-file": folder / "init.sql",
            "bind-address": f"{HOST},{also_on}" if also_on else HOST,
            "port": port,
            "max-connections": 500,
            "innodb-flush-log-at-trx-commit": 2,  # a killed process loses nothing, only a power cut would
            "innodb-log-file-size": "16M",
            "innodb-buffer-pool-size": "64M",
            **(settings or {}),
        }
        ca_path = None
        if tls:
            ca_path, certificate, key = _certificate(folder, user, tls)
            chosen |= {"ssl-ca": ca_path, "ssl-cert": certificate, "ssl-key": key}
        lines = ["[mariadbd]", "skip-name-resolve", *(f"{name} = {value}" for name, value in chosen.items())]
        (folder / "my.cnf").write_text("\n".join([*lines, ""]), "utf-8")
        (folder / "init.sql").write_text(_INIT_SQL, "utf-8")
        defaults = f"--defaults-file={folder / 'my.cnf'}"
        options = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        _prepare([installer, defaults, *options, *([f"--user={user}"] if user else [])], folder, None)
        arguments = [daemon, defaults, *([f"--user={user}"] if user else [])]
        yield from _serve("mysql", arguments, port, folder, ca_path, None)


@contextmanager
def postgres(
    tls: bool | str = False, *, also_on: str = "", settings: Mapping[str, str | int] | None = None
) -> Iterator[DatabaseServer]:
    """Run PostgreSQL.

    Args:
        tls: offer TLS with a certificate of an authority of its own, for `localhost` and 127.0.0.1, or for the host
            named; connections without it are still taken.
        also_on: a further address of this machine to listen on, for test hosts.
        settings: of the server, stronger than ours: by itself it writes nothing through to the disk.

    Raises:
        MissingBinary: the Debian package `postgresql` is not installed.
    """
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    initdb, daemon = (find_binary(name, "postgresql", *folders) for name in ("initdb", "postgres"))
    user = drop_root("postgres")
    port = free_port()
    with server_folder(user=user) as folder:
        password_path = folder / "password"
        password_path.write_text(_PASSWORD, "utf-8")
        data = folder / "data"
        options = ["--no-sync", f"--username={_USER}", f"--pwfile={password_path}", "--locale=C.UTF-8"]
        _prepare([initdb, f"--pgdata={data}", *options, "--auth=scram-sha-256"], folder, user)
        chosen: dict[str, Any] = {
            "listen_addresses": f"{HOST},{also_on}" if also_on else HOST,
            "port": port,
            "unix_socket_directories": folder,
            "max_connections": 300,
            "fsync": "off",  # a killed process loses nothing, only a power cut would
            "full_page_writes": "off",
            "dynamic_shared_memory_type": "mmap",  # in its folder: in /dev/shm a killed server would leave it for ever
            **(settings or {}),
        }
        ca_path = None
        if tls:
            ca_path, certificate, key = _certificate(folder, user, tls)
            chosen |= {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key}
        with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in chosen.items())
        if also_on:
            with (data / "pg_hba.conf").open("a", encoding="utf-8") as file:
                file.write(f"host all all {also_on}/24 scram-sha-256\n")
        yield from _serve("postgresql", [daemon, "-D", str(data)], port, folder, ca_path, user)


def _serve(
    dialect: Literal["mysql", "postgresql"],
    arguments: list[str],
    port: int,
    folder: Path,
    ca_path: Path | None,
    user: str | None,
) -> Iterator[DatabaseServer]:
    first = "mysql" if dialect == "mysql" else "postgres"  # a database that is there from the start

    def is_ready(process: ServerProcess) -> bool:
        return _answers(DatabaseServer(process, dialect, port), first)

    with run_process(arguments, ready=is_ready, folder=folder, user=user) as process:
        server = DatabaseServer(process, dialect, port, ca_path)
        if dialect == "postgresql":
            with closing(server.connect(database=first)) as connection:
                connection.execute(f"CREATE DATABASE {_DATABASE}")
        yield server


def _answers(server: DatabaseServer, database: str) -> bool:
    with extra("db"):
        import psycopg
        import pymysql
    try:
        server.connect(database=database).close()
    except (pymysql.Error, psycopg.Error):
        return False
    return True


def _prepare(arguments: list[str], folder: Path, user: str | None) -> None:
    """Run an installer to its end and hand the folder to the user."""
    if user is not None:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user, user)
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=folder, user=user, group=user, check=False, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} ended with code {done.returncode}:\n{done.stdout}\n{done.stderr}")


def _certificate(folder: Path, user: str | None, tls: bool | str) -> tuple[Path, Path, Path]:
    """Return the paths of an authority's certificate, and of a server's certificate and key."""
    issued = make_ca(folder).issue(*([tls] if isinstance(tls, str) else []))
    if user is not None:
        shutil.chown(issued.key_path, user, user)
    return issued.ca_path, issued.certificate_path, issued.key_path
