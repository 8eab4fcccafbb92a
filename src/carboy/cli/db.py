"""`carboy db`: the tables of Carboy's parts, and through Flask-Migrate those of the project's models."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import json_option, print_json
from carboy.cli.project import Project, pass_project
from carboy.errors import CarboyError
from carboy.extras import extra

if TYPE_CHECKING:
    from flask import Flask

    from carboy.web import Runtime

_EXAMPLES = {
    "init": "carboy db init",
    "migrate": "carboy db migrate -m 'orders have a due date'",
    "downgrade": "carboy db downgrade --sql",
    "revision": "carboy db revision -m 'copy totals'",
    "stamp": "carboy db stamp head",
    "show": "carboy db show head",
    "merge": "carboy db merge heads -m 'one line again'",
}

_IN_MEMORY = "sqlite://"
_NOTHING_TO_WRITE = (
    "nothing to write: the database has every table and column of the models; a model is seen when a module that "
    "MODULES names imports it"
)


class DbGroup(click.Group):
    """Our commands, and every other that Flask-Migrate has."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of both."""
        return sorted({*super().list_commands(ctx), *self._passed_on})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return ours, or Flask-Migrate's run on the project's application."""
        return super().get_command(ctx, cmd_name) or self._passed_on.get(cmd_name)

    @cached_property
    def _passed_on(self) -> dict[str, click.Command]:
        with extra("db"):
            from flask_migrate.cli import db
        return {name: _pass_on(name, one) for name, one in db.commands.items() if name not in self.commands}


@click.group("db", cls=DbGroup)
def command() -> None:
    """Migrate the database, and work with migrations.

    Example:
      carboy db upgrade
      carboy db migrate -m 'orders have a due date'
    """


@command.command("upgrade")
@click.argument("revision", default="head")
@pass_project
def upgrade(project: Project, revision: str) -> None:
    """Migrate Carboy's tables, then the project's up to REVISION.

    Several processes may ask at once: one does it, the others wait.

    Example:
      carboy db upgrade --profile prod
    """
    from carboy.db import migrate
    from carboy.db.project_migrations import has_migrations, project_version, upgrade_project

    app, runtime = _open(project)
    changed = migrate.upgrade(runtime.engine, runtime.table_groups)
    found = migrate.current(runtime.engine)
    is_newer = f", newer than {migrate.head()} of this version" if migrate.is_newer(found) else ""
    click.echo(f"carboy's tables: {found}{is_newer}{'' if changed else ', nothing to do'}", err=True)
    if has_migrations(app):
        changed = upgrade_project(app, revision)
        click.echo(
            f"the project's tables: {project_version(app) or 'none'}{'' if changed else ', nothing to do'}", err=True
        )


@command.command("current")
@json_option
@pass_project
def current(project: Project, as_json: bool) -> None:
    """Print the database's migration, and the one that the code needs.

    Example:
      carboy db current --json
    """
    from carboy.db import migrate
    from carboy.db.project_migrations import has_migrations, project_head, project_version

    stands_in = _stand_in_for_missing_file(project)
    app, runtime = _open(project)
    is_missing = stands_in and runtime.settings["DATABASE_URL"] == _IN_MEMORY
    version = None if is_missing else migrate.current(runtime.engine)
    found: dict[str, Any] = {"carboy": {"current": version, "head": migrate.head()}}
    if has_migrations(app):
        found["project"] = {"current": project_version(app), "head": project_head(app)}
    if as_json:
        print_json(found)
        return
    for name, versions in found.items():
        place = "newer than" if name == "carboy" and migrate.is_newer(versions["current"]) else "behind"
        state = "" if versions["current"] == versions["head"] else f" ({place}: {versions['head']})"
        click.echo(f"{name}: {versions['current'] or 'none'}{state}")


@command.command("check")
@pass_project
def check(project: Project) -> None:
    """Check that the database is at the newest migration and that every table can be created on every database.

    Example:
      carboy db check
    """
    from carboy.db import migrate
    from carboy.db.project_migrations import has_migrations, run_flask_migrate

    app, runtime = _open(project)
    if not migrate.is_current(runtime.engine, runtime.table_groups):
        raise CarboyError(
            "the database is behind", f"it has not all tables of {migrate.head()}", "run `carboy db upgrade`"
        )
    _compile_everywhere(app)
    if has_migrations(app):
        from flask_migrate import check as check_project

        with _context(app):
            run_flask_migrate(check_project)
    click.echo("the database is at its newest", err=True)


def _pass_on(name: str, theirs: click.Command) -> click.Command:
    @pass_project
    def call(project: Project, /, **options: Any) -> None:
        from flask import g

        from carboy.db.project_migrations import migration_files, run_flask_migrate

        app, _ = _open(project)
        before = migration_files(app)
        with _context(app):
            g.directory, g.x_arg = None, ()
            if theirs.callback is not None:
                run_flask_migrate(theirs.callback, **options)
        if name == "migrate" and not options.get("directory") and migration_files(app) == before:
            click.echo(_NOTHING_TO_WRITE, err=True)

    theirs_in_one_line = " ".join((theirs.help or "").split())  # indented or not, by the version of Python
    help_text = f"{theirs_in_one_line}\n\nExample:\n  {_EXAMPLES.get(name, f'carboy db {name}')}"
    return click.Command(name, params=list(theirs.params), callback=call, help=help_text)


def _stand_in_for_missing_file(project: Project) -> bool:
    """Put a database in memory in the place of a SQLite file that is not there: an application makes its own."""
    from carboy.config.environ import write_environ
    from carboy.db import DbSettings

    db = project.settings(DbSettings).part(DbSettings)
    path = db.database_url.partition(":///")[2].partition("?")[0]
    if not db.is_embedded or not path.startswith("/") or Path(path).exists():
        return False
    write_environ("FLASK_DATABASE_URL", _IN_MEMORY)
    return True


def _open(project: Project) -> "tuple[Flask, Runtime]":
    """Return the application, its models bound, and what it runs with."""
    import carboy.db.models  # noqa: F401 (where it is imported, the application has models)
    from carboy.cli.project import runtime_of
    from carboy.serve import Service

    app = project.make_quiet_app()
    runtime = runtime_of(Service(app))
    runtime.bind_models()
    return app, runtime


@contextlib.contextmanager
def _context(app: "Flask") -> Iterator[None]:
    with app.app_context():
        yield


def _compile_everywhere(app: "Flask") -> None:
    """Write every table in the words of each database, so that a VARCHAR without length is found before production."""
    from sqlalchemy.dialects import mysql, postgresql, sqlite
    from sqlalchemy.exc import CompileError
    from sqlalchemy.schema import CreateTable

    from carboy.db import db, metadata

    wrong = []
    for table in [*metadata.tables.values(), *db.metadata.tables.values()]:
        for dialect in (mysql.dialect(), postgresql.dialect(), sqlite.dialect()):
            try:
                CreateTable(table).compile(dialect=dialect)
            except CompileError as error:
                wrong.append(f"{table.name} on {dialect.name}: {str(error).splitlines()[0]}")
    if wrong:
        raise CarboyError("tables cannot be made", "; ".join(wrong), f"correct the models of `{app.name}`")
