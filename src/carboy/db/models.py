"""`db`: Flask-SQLAlchemy's object for a project's own models, on the engine that these settings make."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from carboy.db.connector import Connector
from carboy.db.credentials import Credentials
from carboy.db.engines import engine_options, prepare
from carboy.db.failed_migration import TABLE as HALTED
from carboy.db.migrate import table_names
from carboy.db.schema import NAMING
from carboy.db.settings import DbSettings
from carboy.db.url import url_of
from carboy.errors import ConfigurationError
from carboy.extras import extra

with extra("db"):
    from flask_migrate import Migrate
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import MetaData

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import DeclarativeBase

__all__ = ["Model", "bind", "db"]

LATE = "carboy.db.bind"
"""Of `app.extensions`: what binds `db` to an application that was made before this module was loaded."""


class _LateSQLAlchemy(SQLAlchemy):
    """Flask-SQLAlchemy's object, which a notebook or a module may import after the application was made."""

    @property
    def engines(self) -> Mapping[str | None, "Engine"]:
        extensions = current_app.extensions
        if "sqlalchemy" not in extensions and LATE in extensions:
            if current_app._got_first_request:
                raise ConfigurationError(
                    "`db` is not bound to the application",
                    "`carboy.db` was first imported within a request",
                    "import it where the application is made, or where its views are",
                )
            extensions[LATE]()
        return super().engines


db: SQLAlchemy = _LateSQLAlchemy(metadata=MetaData(naming_convention=NAMING))

if TYPE_CHECKING:

    class Model(DeclarativeBase):
        """The base of a project's models: `db.Model`, under a name that type checkers understand."""

else:
    Model = db.Model


def bind(
    app: Flask, settings: DbSettings, credentials: Credentials | None = None, connector: Connector | None = None
) -> "Engine":
    """Bind `db` and Flask-Migrate to an application and return its engine.

    An application that has `SQLALCHEMY_DATABASE_URI` of its own keeps it.

    Args:
        app: the application.
        settings: of the database.
        credentials: logs in with what it gives; None where the URL holds user and password.
        connector: opens the connections; by default one that goes by the settings and credentials.
    """
    if "SQLALCHEMY_DATABASE_URI" not in app.config:
        app.config["SQLALCHEMY_DATABASE_URI"] = url_of(settings, credentials)
    url = str(app.config["SQLALCHEMY_DATABASE_URI"])
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, url)
    if "sqlalchemy" not in app.extensions:
        db.init_app(app)
    if "migrate" not in app.extensions:
        migrate = Migrate(app, db, render_as_batch=True, compare_type=True, include_name=_is_of_the_project)
        migrate.configure(_know_our_tables)
    with app.app_context():
        return prepare(db.engine, settings, connector or Connector(settings, credentials))


def _know_our_tables(config: Any) -> Any:
    """Learn the names before Alembic begins: it cannot run a second time inside of itself."""
    table_names()
    return config


def _is_of_the_project(name: str | None, kind: str, _parents: object) -> bool:
    """Tell Alembic which of a database's tables a project's migrations are about: all but ours."""
    return kind != "table" or (name != HALTED and name not in table_names())
