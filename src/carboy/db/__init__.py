"""The database: engines, durable writes, migrations; `db` for a project's models."""

from importlib import import_module
from typing import TYPE_CHECKING

from carboy.db.engine import engine, engine_options, prepare
from carboy.db.group_commit import Apply, GroupCommit
from carboy.db.settings import DbSettings

if TYPE_CHECKING:
    from carboy.db.bulk import chunks, insert_rows, placeholders
    from carboy.db.catalog import big_id, metadata
    from carboy.db.migrate import upgrade
    from carboy.db.models import bind, db

__all__ = [
    "Apply",
    "DbSettings",
    "GroupCommit",
    "big_id",
    "bind",
    "chunks",
    "db",
    "engine",
    "engine_options",
    "insert_rows",
    "metadata",
    "placeholders",
    "prepare",
    "upgrade",
]

_HOMES = {
    "big_id": "catalog",
    "bind": "models",
    "chunks": "bulk",
    "insert_rows": "bulk",
    "placeholders": "bulk",
    "db": "models",
    "metadata": "catalog",
    "upgrade": "migrate",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"carboy.db.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'carboy.db' has no attribute {name!r}")
