"""Databases with all tables: on SQLite migrated once per process of tests and copied, on a server new for each test."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from carboy.db import DbSettings, engine, upgrade
from carboy.testing.processes import DatabaseServer

_GROUPS = {"carboy.services.archive": "archive", "carboy.services.sms": "sms"}


def migrated_url(path: Path, modules: str | Iterable[str] = ()) -> str:
    """Return the URL of a database with the tables of these modules; one that is there already stays as it is."""
    named = modules.split(",") if isinstance(modules, str) else modules
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(_migrated(frozenset(_GROUPS[one] for one in named if one in _GROUPS)))
    return f"sqlite:///{path}"


def migrated_server_url(server: DatabaseServer) -> str:
    """Return the URL of a new database of a server, with all tables."""
    url = server.url(database=server.create_database())
    made = engine(DbSettings(database_url=url))
    upgrade(made)
    made.dispose()
    return url


@cache
def _migrated(groups: frozenset[str]) -> bytes:
    with TemporaryDirectory() as folder:
        made = engine(DbSettings(database_url=f"sqlite:///{folder}/made.db"))
        upgrade(made, groups)
        made.dispose()
        return Path(folder, "made.db").read_bytes()
