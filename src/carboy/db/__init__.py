"""The database: engines, durable writes, migrations; `db` for a project's models.

Each name is loaded when it is first asked for: a start without a query loads the settings alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names

if TYPE_CHECKING:
    from carboy.db.bulk import chunks, insert_rows, placeholders
    from carboy.db.connector import Connector
    from carboy.db.credentials import Address, Credentials, Login, Where
    from carboy.db.disconnects import is_unavailable
    from carboy.db.engines import engine, engine_options, prepare
    from carboy.db.group_commit import (
        Apply,
        GroupCommit,
        locks_in_order,
        one_by_one,
        ordered_by,
        write_last,
    )
    from carboy.db.migrate import upgrade
    from carboy.db.models import Model, bind, db
    from carboy.db.project_migrations import upgrade_project
    from carboy.db.schema import ExactString, ExactText, big_id, metadata
    from carboy.db.server_clock import ServerClock
    from carboy.db.settings import DbSettings
    from carboy.db.shared_state import Shared, Step, lock_values, store_values
    from carboy.db.statement_tracing import trace_statements
    from carboy.db.url import choose_driver, endpoint_of
    from carboy.db.watchdog import fail_fast

__all__ = [
    "Address",
    "Apply",
    "Connector",
    "Credentials",
    "DbSettings",
    "ExactString",
    "ExactText",
    "GroupCommit",
    "Login",
    "Model",
    "ServerClock",
    "Shared",
    "Step",
    "Where",
    "big_id",
    "bind",
    "choose_driver",
    "chunks",
    "db",
    "endpoint_of",
    "engine",
    "engine_options",
    "fail_fast",
    "insert_rows",
    "is_unavailable",
    "lock_values",
    "locks_in_order",
    "metadata",
    "one_by_one",
    "ordered_by",
    "placeholders",
    "prepare",
    "store_values",
    "trace_statements",
    "upgrade",
    "upgrade_project",
    "write_last",
]

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".bulk": ("chunks", "insert_rows", "placeholders"),
        ".schema": ("ExactString", "ExactText", "big_id", "metadata"),
        ".watchdog": ("fail_fast",),
        ".connector": ("Connector",),
        ".credentials": ("Address", "Credentials", "Login", "Where"),
        ".disconnects": ("is_unavailable",),
        ".engines": ("engine", "engine_options", "prepare"),
        ".group_commit": ("Apply", "GroupCommit", "locks_in_order", "one_by_one", "ordered_by", "write_last"),
        ".migrate": ("upgrade",),
        ".models": ("Model", "bind", "db"),
        ".project_migrations": ("upgrade_project",),
        ".server_clock": ("ServerClock",),
        ".settings": ("DbSettings",),
        ".shared_state": ("Shared", "Step", "lock_values", "store_values"),
        ".statement_tracing": ("trace_statements",),
        ".url": ("choose_driver", "endpoint_of"),
    },
    part="db",
)
