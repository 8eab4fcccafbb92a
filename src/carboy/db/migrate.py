"""Migrate the tables of Carboy's own parts, once, however many processes start.

They have a version table of their own, `carboy_version`, apart from that of a project's migrations. A group of tables,
`archive_…` or `sms_…`, is created once its service is in use, and kept up to date from then on.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.db.engines import explain_folder, make_folder
from carboy.db.failed_migration import record_failures
from carboy.db.own_tables import GROUPS, VERSION_TABLE
from carboy.errors import CarboyError, Unreachable
from carboy.extras import extra

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

ALEMBIC = threading.RLock()
"""Held while Alembic runs: it keeps what it works on in the module, one at a time."""

_FOLDER = Path(__file__).parent / "migrations"
_LOOK_AGAIN_S = 0.1
_LOCK_NUMBER = 0x6361_7262_6F79  # "carboy"
_LOCKS = {
    "postgresql": (f"SELECT pg_try_advisory_lock({_LOCK_NUMBER})", f"SELECT pg_advisory_unlock({_LOCK_NUMBER})"),
    "mysql": ("SELECT GET_LOCK('carboy_migrations', 0)", "SELECT RELEASE_LOCK('carboy_migrations')"),
}
"""How a server's lock is taken and released."""


def head() -> str:
    """Return the version that this code needs: the files are numbered in their order, `0001_first.py`.

    Alembic is not asked, here and in `current`: it takes a quarter of a second to import, and most starts find a
    database that is at the head.
    """
    numbers = sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))
    if not numbers:
        raise CarboyError("the migrations cannot be read", "the package has none", "install carboy again")
    return numbers[-1]


def current(engine: "Engine") -> str | None:
    """Return the version that a database has; None without Carboy's tables."""
    with extra("db"):
        from sqlalchemy import inspect
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608 (our own)
        return None if found is None else str(found)


def is_newer(version: str | None) -> bool:
    """Return whether a database's version is one of a later release, which this code does not know.

    So it is while a deployment rolls, and after a roll-back. Migrations add what the code before can leave alone,
    unless the changelog says otherwise, so the process works with it.
    """
    return version is not None and version.isdecimal() and int(version) > int(head())


def is_current(engine: "Engine", groups: Collection[str] | None = None) -> bool:
    """Return whether a database has the version that this code needs or a later one, and all tables of some groups.

    Args:
        engine: the database.
        groups: `archive`, `sms`; all by default.
    """
    version = current(engine)
    return (version == head() or is_newer(version)) and not _lacking(engine, groups)


def makes(group: str) -> bool:
    """Return whether the migrations that run now work on a group of tables: `carboy`, `archive`, `sms`."""
    from alembic import op

    config = op.get_context().config
    wanted: Collection[str] | None = config.attributes.get("groups") if config else None
    return wanted is None or group in wanted


def upgrade(engine: "Engine", groups: Collection[str] | None = None, *, lock_wait_s: float = 300.0) -> bool:
    """Bring a database to the head and return whether there was anything to do; at the head no lock is taken.

    One that a later release has migrated stays as it is.

    Args:
        engine: the database; a folder that its SQLite file needs is made.
        groups: the services whose tables are made where they are not there yet, `archive` and `sms`; all by default.
            Tables that are there are kept up to date.
        lock_wait_s: how long to wait for another process that is migrating.

    Raises:
        Unreachable: another process kept the lock for longer than that.
        CarboyError: a service has only some of its tables, or none in a database that a later release has migrated.
    """
    make_folder(engine)
    if is_current(engine, groups):
        return False
    with lock(engine, lock_wait_s):
        if is_current(engine, groups):
            return False
        with record_failures(engine), ALEMBIC:
            version = current(engine)
            if is_newer(version):
                raise CarboyError(
                    f"the tables of {', '.join(sorted(_lacking(engine, groups)))} cannot be made",
                    f"the database has version {version}, and this code knows {head()}",
                    "run `carboy db upgrade` of the newer version",
                )
            if version != head():
                _run_chain(engine, _wanted(groups) if version is None else _present(engine))
            for group in sorted(_lacking(engine, groups)):
                _add_group(engine, group)
        return True


def _run_chain(engine: "Engine", groups: Collection[str]) -> None:
    with extra("db"):
        from alembic import command
    with engine.connect() as connection:
        command.upgrade(_config(connection, {"carboy", *groups}), "head")


def _add_group(engine: "Engine", group: str) -> None:
    """Make the tables of one group in a database at the head: what each migration does for them, in order."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    if found := sorted(_names(engine) & GROUPS[group]):
        raise CarboyError(
            f"the tables of `{group}` cannot be made",
            f"some are there, {', '.join(found)}, and others are not",
            "restore the others, or drop these where a migration that failed left them",
        )

    def run(_heads: object, _context: object) -> list[Any]:
        for revision in reversed(list(script.walk_revisions())):
            revision.module.upgrade()
        return []

    with engine.begin() as connection:
        config = _config(connection, {group})
        script = ScriptDirectory.from_config(config)
        with EnvironmentContext(config, script, fn=run):
            script.run_env()


def _wanted(groups: Collection[str] | None) -> set[str]:
    return set(GROUPS if groups is None else groups)


def _lacking(engine: "Engine", groups: Collection[str] | None) -> set[str]:
    """Return which of the wanted groups lack tables."""
    wanted = _wanted(groups)
    names = _names(engine) if wanted else set()
    return {group for group in wanted if not names >= GROUPS[group]}


def _present(engine: "Engine") -> set[str]:
    """Return the groups that have tables."""
    names = _names(engine)
    return {group for group, tables in GROUPS.items() if names & tables}


def _names(engine: "Engine") -> set[str]:
    from sqlalchemy import inspect

    return set(inspect(engine).get_table_names())


def _config(connection: "Connection | None", groups: Collection[str] | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes |= {"connection": connection, "groups": groups}
    return config


@contextmanager
def lock(engine: "Engine", wait_s: float = 300.0) -> Iterator[None]:
    """Hold the one lock of migrations, a project's own too.

    Raises:
        Unreachable: another process kept it for longer than `wait_s`.
    """
    if engine.dialect.name == "sqlite":
        with _file_lock(engine.url.database, wait_s):
            yield
        return
    take, release = _LOCKS["postgresql" if engine.dialect.name == "postgresql" else "mysql"]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _wait_for(lambda: connection.exec_driver_sql(take).scalar() == 1, wait_s)
        try:
            yield
        finally:
            connection.exec_driver_sql(release)


def _wait_for(has_lock: Callable[[], bool], wait_s: float) -> None:
    give_up_at_s = time.monotonic() + wait_s
    while not has_lock():
        if time.monotonic() >= give_up_at_s:
            raise Unreachable(
                "the database was not migrated",
                f"another process kept the lock of migrations for {wait_s:g} s",
                "see what migrates it",
            )
        time.sleep(_LOOK_AGAIN_S)


@contextmanager
def _file_lock(database: str | None, wait_s: float) -> Iterator[None]:
    if not database or database == ":memory:":
        yield
        return

    def has_lock() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel when the process ends
        except BlockingIOError:
            return False
        return True

    with explain_folder(database, "cannot be written"):
        descriptor = os.open(f"{database}.migrating", os.O_CREAT | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _wait_for(has_lock, wait_s)
        yield
