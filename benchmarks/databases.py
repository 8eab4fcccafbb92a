"""Database servers as they are in production: commits are on the disk, and memory holds what is asked often."""

from functools import partial

from carboy.testing.processes import mariadb, postgres

__all__ = ["durable_mariadb", "durable_postgres"]

durable_mariadb = partial(
    mariadb,
    settings={
        "innodb-flush-log-at-trx-commit": 1,
        "innodb-log-file-size": "1G",
        "innodb-buffer-pool-size": "2G",
    },
)
durable_postgres = partial(
    postgres,
    settings={"fsync": "on", "full_page_writes": "on", "max_wal_size": "4GB", "shared_buffers": "2GB"},
)
