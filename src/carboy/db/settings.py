"""The settings of the database."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from carboy.config import Derived, setting

__all__ = ["DbSettings"]


def _sqlite(get: Callable[[str], Any]) -> str:
    return f"sqlite:///{get('INSTANCE_PATH')}/carboy.db"


@dataclass(frozen=True, slots=True)
class DbSettings:
    """Where rows are kept."""

    database_url: str = setting(
        Derived(_sqlite, "sqlite:///<instance>/carboy.db"), "the database, as SQLAlchemy writes it", secret=True
    )
    db_pool_size: int = setting(10, "connections kept open per process")
    db_pool_overflow: int = setting(20, "further connections opened under load")
    db_busy_s: float = setting(5.0, "how long a write waits for another process's lock on SQLite", unit="s")
    sqlalchemy_engine_options: dict[str, Any] = setting({}, "passed to SQLAlchemy's create_engine as they are")
