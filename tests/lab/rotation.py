"""A database login whose secret rotates as AWS's own rotation functions do it, and threads that use it meanwhile.

`python -m tests.lab.rotation --rotations 1000` runs the soak: a server, moto, a load, and what came of it.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from carboy.testing.processes import AwsServer, DatabaseServer, mariadb, moto_server, postgres

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Load", "RotatingSecret", "load", "main"]

_numbers = count()


class RotatingSecret:
    """An RDS secret of a user of its own in a real database.

    Attributes:
        name: of the secret.
        user: of the database; after `rotate(alternate=True)` one of two.
        calls: how often `GetSecretValue` was called through `client`.
    """

    def __init__(self, server: DatabaseServer, aws: AwsServer, **fields: Any) -> None:
        """Make the user and the secret.

        Args:
            server: where the user is made.
            aws: where the secret is kept.
            fields: of the secret, over those of the server.
        """
        number = next(_numbers)
        self.server: DatabaseServer = server
        self.name: str = f"/test/rds-{number}"
        self._users = (f"app_{number}", f"app_{number}_clone")
        self.user: str = self._users[0]
        self._fields = {
            "engine": "mariadb" if server.dialect == "mysql" else "postgres",
            "host": server.host,
            "port": server.port,
            "dbname": server.database,
            **fields,
        }
        self._passwords = 0
        self._made: set[str] = set()
        self._admin = aws.client("secretsmanager")
        self.client: Any = aws.client("secretsmanager", connect_timeout=2, read_timeout=5)
        self.calls: int = 0
        self.client.meta.events.register("before-call.*.GetSecretValue", self._count)
        password = self._new_password()
        self._set(self.user, password)
        self._admin.create_secret(Name=self.name, SecretString=self._text(self.user, password))

    def rotate(self, window_s: float = 0.0, *, alternate: bool = False) -> None:
        """Rotate once: `createSecret`, `setSecret`, a time in which only the pending version works, `finishSecret`.

        Args:
            window_s: how long that time is.
            alternate: change the password of the other of two users, and hand that one out.
        """
        user = self._users[self.user == self._users[0]] if alternate else self.user
        password = self._new_password()
        version = self.put(user, password, "AWSPENDING")
        self._set(user, password)
        time.sleep(window_s)
        stages = self._admin.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        current = next(one for one, names in stages.items() if "AWSCURRENT" in names)
        self._admin.update_secret_version_stage(
            SecretId=self.name, VersionStage="AWSCURRENT", MoveToVersionId=version, RemoveFromVersionId=current
        )
        self.user = user

    def put(self, user: str, password: str, stage: str = "AWSCURRENT") -> str:
        """Write a version of the secret, and return its id."""
        text = self._text(user, password)
        made = self._admin.put_secret_value(SecretId=self.name, SecretString=text, VersionStages=[stage])
        return str(made["VersionId"])

    def change_password(self) -> str:
        """Change the password in the database only, as a person might; return the new one."""
        password = self._new_password()
        self._set(self.user, password)
        return password

    def _count(self, **_: Any) -> None:
        self.calls += 1

    def _new_password(self) -> str:
        self._passwords += 1
        return f"marked-password-{self._passwords}-of-{self.name}"

    def _set(self, user: str, password: str) -> None:
        if user in self._made:
            self.server.set_password(user, password)
        else:
            self.server.create_user(user, password)
            self._made.add(user)

    def _text(self, user: str, password: str) -> str:
        return json.dumps({**self._fields, "username": user, "password": password})


@dataclass
class Load:
    """What threads met that used a database over and over.

    Attributes:
        latencies_s: of every use, sorted by nothing.
        errors: what failed.
    """

    latencies_s: list[float] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Return how long the slowest of that share of uses took."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextmanager
def load(use: Callable[[], object], threads: int = 20, pause_s: float = 0.005) -> Iterator[Load]:
    """Have threads call `use` for the length of the block."""
    found, stop = Load(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            began_s = time.perf_counter()
            try:
                use()
            except Exception as error:  # noqa: BLE001 (the test looks at them)
                found.errors.append(error)
            found.latencies_s.append(time.perf_counter() - began_s)
            stop.wait(pause_s)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield found
    finally:
        stop.set()
        for worker in workers:
            worker.join(60)


def ask(engine: "Engine") -> None:
    """Use a database as a request does: check a connection out, ask, give it back."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")


def main(arguments: Sequence[str] | None = None) -> None:
    """Rotate under load, and print one JSON line of what the load met."""
    from carboy.aws import SecretCache, SecretLogins
    from carboy.db import Connector, DbSettings, engine

    parser = argparse.ArgumentParser(prog="python -m tests.lab.rotation", description=main.__doc__)
    parser.add_argument("--rotations", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--windows", default="0,0.2,0.5", help="seconds, taken in turn (%(default)s)")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two fetches (%(default)s)")
    parser.add_argument("--threads", type=int, default=20, help="that use the database (%(default)s)")
    parser.add_argument("--database", choices=["mariadb", "postgres"], default="mariadb")
    options = parser.parse_args(arguments)
    windows = [float(one) for one in options.windows.split(",")]
    with ExitStack() as stack:
        server = stack.enter_context({"mariadb": mariadb, "postgres": postgres}[options.database](tls=True))
        secret = RotatingSecret(server, stack.enter_context(moto_server()))
        settings = DbSettings(
            database_url="sqlite://",
            db_secret_name=secret.name,
            db_tls_ca=server.ca_path,
            db_pool_size=options.threads,
            sqlalchemy_engine_options={"pool_recycle": 1},
        )
        logins = SecretLogins(SecretCache(secret.client, min_interval_s=options.every), secret.name)
        made = engine(settings, logins, Connector(settings, logins, probe_s=options.every))
        with load(lambda: ask(made), options.threads) as met:
            for number in range(options.rotations):
                secret.rotate(windows[number % len(windows)])
                time.sleep(options.every * 1.2 + 1.0)  # until every connection was recycled
        found = {
            "rotations": options.rotations,
            "requests": len(met.latencies_s),
            "failed": len(met.errors),
            "p50_s": round(met.quantile(0.5), 4),
            "p99.9_s": round(met.quantile(0.999), 4),
            "calls_per_rotation": round(secret.calls / options.rotations, 2),
        }
    sys.stdout.write(json.dumps(found) + "\n")
    if met.errors:
        sys.exit(f"error: {met.errors[0]}")


if __name__ == "__main__":
    main()
