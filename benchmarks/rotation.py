"""What a rotation costs requests, and TLS connections: Carboy's against the article's and PyMySQL's default.

A real MariaDB with TLS, moto as Secrets Manager, twenty threads. In a rotation with a window of two seconds the old
password stops working at once and the new one becomes `AWSCURRENT` two seconds later.
"""

import functools
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError
from tests.lab.rotation import Load, RotatingSecret, ask, load

from carboy.aws import SecretCache, SecretLogins
from carboy.db import Connector, DbSettings, engine
from carboy.testing.processes import DatabaseServer, mariadb, moto_server

ROTATIONS, WINDOW_S, BETWEEN_S, RECYCLE_S = 3, 2.0, 5.5, 1.0
AIM_TLS = 0.1


def run() -> None:
    """Print failures and latencies with and without rotations, and the times to open connections."""
    with mariadb(tls=True) as server, moto_server() as aws:
        print(f"{'':36}{'requests':>9}{'failed':>8}{'p50 ms':>8}{'p99 ms':>8}{'p99.9 ms':>10}{'calls':>7}")
        for name, contender, rotations in (
            ("carboy, no rotation", _carboy, 0),
            ("carboy, rotations", _carboy, ROTATIONS),
            ("the article's shape, no rotation", _article, 0),
            ("the article's shape, rotations", _article, ROTATIONS),
        ):
            secret = RotatingSecret(server, aws)
            with load(contender(secret, server)) as met:
                time.sleep(BETWEEN_S)
                secret.calls = 0
                for _ in range(rotations):
                    secret.rotate(WINDOW_S)
                    time.sleep(BETWEEN_S)
            _print(name, met, secret.calls)
        _print_tls(server)


def _print(name: str, met: Load, calls: int) -> None:
    p50, p99, p999 = (met.quantile(share) * 1e3 for share in (0.5, 0.99, 0.999))
    print(f"{name:36}{len(met.latencies_s):9}{len(met.errors):8}{p50:8.1f}{p99:8.1f}{p999:10.1f}{calls:7}")


def _carboy(secret: RotatingSecret, server: DatabaseServer) -> Callable[[], object]:
    settings = DbSettings(
        database_url="sqlite://",
        db_secret_name=secret.name,
        db_tls_ca=server.ca_path,
        db_pool_size=20,
        sqlalchemy_engine_options={"pool_recycle": RECYCLE_S},
    )
    logins = SecretLogins(SecretCache(secret.client), secret.name)
    made = engine(settings, logins, Connector(settings, logins))
    return lambda: ask(made)


def _article(secret: RotatingSecret, server: DatabaseServer) -> Callable[[], object]:
    """Read the secret by `lru_cache`; after a refusal clear it, build a new engine, and try three times 4 s apart."""

    @functools.lru_cache
    def login() -> dict[str, Any]:
        return dict(json.loads(secret.client.get_secret_value(SecretId=secret.name)["SecretString"]))

    def make() -> Any:
        found = login()
        place = {"host": server.host, "port": server.port, "database": found["dbname"]}
        url = URL.create("mysql+pymysql", found["username"], found["password"], **place)
        return create_engine(
            url, pool_size=20, pool_recycle=RECYCLE_S, connect_args={"ssl": {"ca": str(server.ca_path)}}
        )

    kept = [make()]
    lock = threading.Lock()

    def use() -> None:
        for attempt in range(3):
            try:
                return ask(kept[0])
            except OperationalError:
                if attempt == 2:
                    raise
                with lock:
                    login.cache_clear()
                    kept[0] = make()
                time.sleep(4)
        return None

    return use


def _print_tls(server: DatabaseServer) -> None:
    settings = DbSettings(database_url=server.url().partition("?")[0], db_tls_ca=server.ca_path, db_pool_size=20)
    default = create_engine(server.url().partition("?")[0], pool_size=20)
    verified = create_engine(server.url(), pool_size=20)
    print(f"\n{'20 TLS connections at once':36}{'ms':>9}{'of default':>12}")
    base = _open(default)
    print(f"{'PyMySQL by default (unverified)':36}{base:9.0f}{1.0:12.2f}")
    print(f"{'PyMySQL with an authority':36}{(one := _open(verified)):9.0f}{one / base:12.2f}")
    print(f"{'carboy, with an authority':36}{(one := _open(engine(settings))):9.0f}{one / base:12.2f}   aim: {AIM_TLS}")


def _open(made: Any) -> float:
    ask(made)
    times = []
    for _ in range(5):
        made.dispose()
        barrier = threading.Barrier(20)

        def one(_: int, barrier: threading.Barrier = barrier) -> Any:
            barrier.wait()
            return made.connect()

        with ThreadPoolExecutor(20) as pool:
            began = time.perf_counter()
            connections = list(pool.map(one, range(20)))
            times.append((time.perf_counter() - began) * 1e3)
        for connection in connections:
            connection.close()
    return min(times)
