"""A project's own tables, by the migrations in its folder `migrations`, as Flask-Migrate keeps them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carboy.db import migrate
from carboy.db.failed_migration import noting_halts
from carboy.errors import CarboyError

if TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "has_migrations",
    "migration_files",
    "project_head",
    "project_version",
    "run_flask_migrate",
    "upgrade_project",
]

_HINTS = (
    ("Path doesn't exist", "go to the project's folder; where there are no migrations yet: `carboy db init`"),
    ("Target database is not up to date", "run `carboy db upgrade` first"),
    ("New upgrade operations detected", "write them: carboy db migrate -m 'what changed'"),
    ("Can't locate revision", "`carboy db history` lists what there is"),
    ("Multiple head", "make them one line: carboy db merge heads -m 'one line again'"),
)


def has_migrations(app: "Flask") -> bool:
    """Return whether the project has models and migrations of its own."""
    return "migrate" in app.extensions and (_folder(app) / "env.py").is_file()


def migration_files(app: "Flask") -> list[Path]:
    """Return the files of the project's migrations, none where it has no folder for them."""
    return sorted(_folder(app).rglob("*.py"))


def upgrade_project(app: "Flask", revision: str = "head") -> bool:
    """Bring the project's tables to a version and return whether there was anything to do; at it no lock is taken.

    Carboy's own tables come to their newest first: the project's jobs are rows of them.

    Args:
        app: the application; nothing is done where it has no migrations.
        revision: the version, the newest by default.

    Raises:
        CarboyError: Flask-Migrate failed; it said why on stderr.
        Unreachable: another process held the lock of migrations for too long.
    """
    if not has_migrations(app):
        return False
    from flask_migrate import upgrade

    from carboy.db.models import db

    with app.app_context():
        migrate.upgrade(db.engine)
    if revision == "head" and project_version(app) == project_head(app):
        return False
    with app.app_context(), migrate.lock(db.engine), noting_halts(db.engine):
        before = project_version(app)
        run_flask_migrate(upgrade, directory=str(_folder(app)), revision=revision)
    return before != project_version(app)


def project_version(app: "Flask") -> str | None:
    """Return the version that the project's tables have."""
    from alembic.runtime.migration import MigrationContext

    from carboy.db.models import db

    with app.app_context(), db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def project_head(app: "Flask") -> str | None:
    """Return the version that the project's code needs."""
    from alembic.script import ScriptDirectory

    with app.app_context():
        config = app.extensions["migrate"].migrate.get_config(str(_folder(app)))
        return ScriptDirectory.from_config(config).get_current_head()


def run_flask_migrate(function: Callable[..., object], /, **options: Any) -> None:
    """Call one of Flask-Migrate's functions, which log why they fail and end the process: here it is an error.

    Raises:
        CarboyError: it failed.
    """
    log = logging.getLogger("flask_migrate")
    log.addFilter(_is_no_failure)
    try:
        function(**options)
    except SystemExit as end:
        why = str(end.__context__ or "it does not say why").strip().rstrip(".")
        raise CarboyError("Flask-Migrate failed", why, _hint(why)) from end
    finally:
        log.removeFilter(_is_no_failure)


def _is_no_failure(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def _hint(why: str) -> str:
    return next((hint for words, hint in _HINTS if words in why), "see the project's `migrations` folder")


def _folder(app: "Flask") -> Path:
    beside = Path(app.root_path, "migrations")
    return beside if (beside / "env.py").is_file() else Path("migrations")
