"""Database servers as they are in production: commits are on the disk, and memory holds what is asked often."""

from collections.abc import Iterator
from contextlib import contextmanager

from carboy.testing.processes import DatabaseServer, mariadb, postgres

__all__ = ["durable_mariadb", "durable_postgres"]


@contextmanager
def durable_mariadb() -> Iterator[DatabaseServer]:
    settings: dict[str, str | int] = {
        "innodb-flush-log-at-trx-commit": 1,
        "innodb-log-file-size": "1G",
        "innodb-buffer-pool-size": "2G",
    }
    with mariadb(settings=settings) as server:
        yield server


@contextmanager
def durable_postgres() -> Iterator[DatabaseServer]:
    settings: dict[str, str | int] = {
        "fsync": "on",
        "full_page_writes": "on",
        "max_wal_size": "4GB",
        "shared_buffers": "2GB",
    }
    with postgres(settings=settings) as server:
        yield server
