"""The database: engines, durable writes, migrations."""

from carboy.db.engine import engine, engine_options, prepare
from carboy.db.group_commit import GroupCommit
from carboy.db.settings import DbSettings

__all__ = ["DbSettings", "GroupCommit", "engine", "engine_options", "prepare"]
