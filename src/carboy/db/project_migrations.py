"""A project's own tables, by the migrations in its folder `migrations`, as Flask-Migrate keeps them."""

import logging
import logging.config
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.db import migrate
from carboy.db.failed_migration import record_failures
from carboy.errors import CarboyError
from carboy.extension import find_extension

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from flask import Flask
    from sqlalchemy import Engine

_HINTS = (
    ("Path doesn't exist", "go to the project's folder; where there are no migrations yet: `carboy db init`"),
    ("Target database is not up to date", "run `carboy db upgrade` first"),
    ("New upgrade operations detected", "write them: carboy db migrate -m 'what changed'"),
    ("Can't locate revision", "`carboy db history` lists what there is"),
    ("Multiple head", "make them one line: carboy db merge heads -m 'one line again'"),
)


def has_migrations(app: "Flask") -> bool:
    """Return whether the project has models and migrations of its own, by Flask-Migrate."""
    file = _folder(app) / "env.py"
    is_there = {"migrate", "sqlalchemy"} <= app.extensions.keys() and file.is_file()
    return is_there and "current_app" in file.read_text("utf-8", "replace")  # else Alembic's or Alchemical's alone


def migration_files(app: "Flask") -> list[Path]:
    """Return the files of the project's migrations; an empty list where it has no folder for them."""
    return sorted(_folder(app).rglob("*.py"))


def upgrade_project(app: "Flask", revision: str = "head") -> bool:
    """Bring the project's tables to a version and return whether there was anything to do; at it no lock is taken.

    Carboy's own tables come first where the models are those of `carboy.db.db`: a session may enqueue a job. On SQLite
    foreign keys are off meanwhile, as a batch migration copies and drops tables, and are checked at the end.

    Args:
        app: the application; nothing is done where it has no migrations.
        revision: the version, the newest by default.

    Raises:
        CarboyError: Flask-Migrate failed, or rows lack what they refer to.
        Unreachable: another process kept the lock of migrations for too long.
    """
    if not has_migrations(app):
        return False
    from flask_migrate import upgrade

    from carboy.db.models import db

    if app.extensions["sqlalchemy"] is db:
        with app.app_context():
            extension = find_extension(app)
            migrate.upgrade(db.engine, extension.table_groups if extension else ())
    if revision == "head" and project_version(app) == project_head(app):
        return False
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine
        with migrate.lock(engine), record_failures(engine):
            before, orphans = project_version(app), _orphans(engine)
            run_flask_migrate(upgrade, directory=str(_folder(app)), revision=revision)
            if more := _orphans(engine) - orphans:
                tables = ", ".join(f"`{table}` (to `{parent}`)" for table, parent in sorted(more))
                raise CarboyError(
                    "the migration left references without their rows",
                    f"in {tables}",
                    "correct the migration; `PRAGMA foreign_key_check` lists the rows",
                )
    return before != project_version(app)


def _orphans(engine: "Engine") -> set[tuple[str, str]]:
    """Return which tables of an SQLite file have references without their rows, and to which tables."""
    if engine.dialect.name != "sqlite":
        return set()
    with engine.connect() as connection:
        return {(str(row[0]), str(row[2])) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def project_version(app: "Flask") -> str | None:
    """Return the version that the project's tables have, of every database; several heads are joined by commas.

    Raises:
        CarboyError: Alembic cannot read the migrations.
    """
    from alembic.runtime.environment import EnvironmentContext

    found: list[str] = []

    def look(heads: Any, _context: Any) -> list[Any]:
        found.append(", ".join(sorted(heads)))
        return []

    config, script = _script(app)
    with app.app_context(), migrate.ALEMBIC, _quiet(), EnvironmentContext(config, script, fn=look, dont_mutate=True):
        run_flask_migrate(script.run_env)
    behind = [one for one in found if one != project_head(app)]
    return (behind or found or [""])[0] or None


def project_head(app: "Flask") -> str | None:
    """Return the version that the project's code needs; several heads are joined by commas."""
    return ", ".join(sorted(_script(app)[1].get_heads())) or None


def _script(app: "Flask") -> "tuple[Config, ScriptDirectory]":
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with app.app_context():
        try:
            config = app.extensions["migrate"].migrate.get_config(str(_folder(app)))
            return config, ScriptDirectory.from_config(config)
        except CommandError as error:
            raise _failure(str(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep a project's `env.py` from changing the logging configuration."""
    usual = logging.config.fileConfig
    logging.config.fileConfig = lambda *_, **__: None
    try:
        yield
    finally:
        logging.config.fileConfig = usual


def run_flask_migrate(function: Callable[..., object], /, **options: Any) -> None:
    """Call a function of Flask-Migrate, and raise an error where it would log and end the process.

    Raises:
        CarboyError: it failed.
    """
    from alembic.util import CommandError

    log = logging.getLogger("flask_migrate")
    log.addFilter(_is_no_failure)
    try:
        function(**options)
    except SystemExit as end:
        raise _failure(str(end.__context__ or "it does not say why")) from end
    except CommandError as error:
        raise _failure(str(error)) from error
    finally:
        log.removeFilter(_is_no_failure)


def _is_no_failure(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def _failure(why: str) -> CarboyError:
    hint = next((hint for words, hint in _HINTS if words in why), "see the project's `migrations` folder")
    return CarboyError("Flask-Migrate failed", why.strip().rstrip("."), hint)


def _folder(app: "Flask") -> Path:
    """Return the folder that the project's `Migrate` names: below the application's, or below the working folder."""
    name = app.extensions["migrate"].directory if "migrate" in app.extensions else "migrations"
    beside = Path(app.root_path, name)
    return beside if (beside / "env.py").is_file() else Path(name)
