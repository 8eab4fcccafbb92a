"""The database: engines, durable writes, migrations; `db` for a project's models."""

from importlib import import_module
from typing import TYPE_CHECKING

from carboy.db.circuit import hurried
from carboy.db.connecting import Connector
from carboy.db.credentials import Address, Credentials, Login, Where
from carboy.db.engine import engine, engine_options, prepare
from carboy.db.group_commit import Apply, GroupCommit
from carboy.db.server_clock import ServerClock
from carboy.db.settings import DbSettings
from carboy.db.url import choose_driver, endpoint_of
from carboy.extras import extra

if TYPE_CHECKING:
    from carboy.db.bulk import chunks, insert_rows, placeholders
    from carboy.db.catalog import big_id, metadata
    from carboy.db.migrate import upgrade
    from carboy.db.models import Model, bind, db
    from carboy.db.project import upgrade_project
    from carboy.db.shared import Shared
    from carboy.db.tracing import trace_statements

__all__ = [
    "Address",
    "Apply",
    "Connector",
    "Credentials",
    "DbSettings",
    "GroupCommit",
    "Login",
    "Model",
    "ServerClock",
    "Shared",
    "Where",
    "big_id",
    "bind",
    "choose_driver",
    "chunks",
    "db",
    "endpoint_of",
    "engine",
    "engine_options",
    "hurried",
    "insert_rows",
    "metadata",
    "placeholders",
    "prepare",
    "trace_statements",
    "upgrade",
    "upgrade_project",
]

_HOMES = {
    "Model": "models",
    "big_id": "catalog",
    "bind": "models",
    "chunks": "bulk",
    "insert_rows": "bulk",
    "placeholders": "bulk",
    "db": "models",
    "metadata": "catalog",
    "Shared": "shared",
    "trace_statements": "tracing",
    "upgrade": "migrate",
    "upgrade_project": "project",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        with extra("db"):
            return getattr(import_module(f"carboy.db.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'carboy.db' has no attribute {name!r}")
