"""`db`: Flask-SQLAlchemy's object for a project's own models, on the engine that these settings make."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from carboy.db.connector import Connector
from carboy.db.credentials import Address, Credentials
from carboy.db.engines import engine_options, prepare
from carboy.db.own_tables import is_ours
from carboy.db.schema import NAMING
from carboy.db.settings import DbSettings
from carboy.db.url import choose_driver, url_of
from carboy.errors import ConfigurationError
from carboy.extension import find_extension
from carboy.extras import extra

with extra("db"):
    from flask_migrate import Migrate
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import MetaData

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import DeclarativeBase


class _LateSQLAlchemy(SQLAlchemy):
    """Flask-SQLAlchemy's object that binds itself where it is imported after the application was made."""

    @property
    def engines(self) -> Mapping[str | None, "Engine"]:
        extension = find_extension(current_app)
        if "sqlalchemy" not in current_app.extensions and extension is not None and extension.binds_models:
            if current_app._got_first_request:
                raise ConfigurationError(
                    "`db` is not bound to the application",
                    "`carboy.db` was first imported within a request",
                    "import it where the application is made, or where its views are",
                )
            extension.bind_models()
        owner = getattr(extension, "app", current_app)
        if owner != current_app:  # a page of the console, which is an application of its own
            with owner.app_context():
                return super().engines
        return super().engines


db: SQLAlchemy = _LateSQLAlchemy(metadata=MetaData(naming_convention=NAMING))

if TYPE_CHECKING:

    class Model(DeclarativeBase):
        """The base of a project's models: `db.Model`, under a name that type checkers understand."""

else:
    Model = db.Model


def bind(
    app: Flask, settings: DbSettings, credentials: Credentials | None = None, connector: Connector | None = None
) -> "Engine | None":
    """Set up an application's SQLAlchemy with the login, TLS and timeouts of these settings; return its default engine.

    An application without Flask-SQLAlchemy gets `db`; one that has a `SQLAlchemy()` of its own keeps it, and its
    engines and binds are set up where they are. An application that has `SQLALCHEMY_DATABASE_URI` of its own keeps it.

    Args:
        app: the application.
        settings: of the database.
        credentials: the vault of logins; None where the URL has user and password.
        connector: opens the connections; by default one of these settings and credentials.
    """
    if "sqlalchemy" not in app.extensions:
        _configure(app, settings, credentials)
        db.init_app(app)
        if "migrate" not in app.extensions:
            Migrate(app, db, render_as_batch=True, compare_type=True)
    hide_our_tables(app)
    found = app.extensions["sqlalchemy"]
    with app.app_context():
        engines: dict[str | None, Engine] = dict(found.engines)
    for key, made in engines.items():
        if made.dialect.name == "sqlite" and found is not db:
            continue  # how it uses its file is the application's own choice
        usual = connector or Connector(settings, credentials)
        prepare(made, settings, usual if key is None else _connector_of_bind(made, settings, credentials))
        made.pool._pre_ping = True
    return engines.get(None)


def _configure(app: Flask, settings: DbSettings, credentials: Credentials | None) -> None:
    """Set what Flask-SQLAlchemy reads: address, drivers and pools, also of the project's binds."""
    url = app.config.get("SQLALCHEMY_DATABASE_URI") or url_of(settings, credentials)
    app.config["SQLALCHEMY_DATABASE_URI"] = choose_driver(url) if isinstance(url, str) else url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, str(url))
    binds = {}
    for key, value in (app.config.get("SQLALCHEMY_BINDS") or {}).items():
        own = dict(value) if isinstance(value, Mapping) else {"url": value}
        if isinstance(own.get("url"), str):
            own["url"] = choose_driver(own["url"])
        binds[key] = engine_options(settings, str(own.get("url", ""))) | own
    app.config["SQLALCHEMY_BINDS"] = binds


def hide_our_tables(app: Flask) -> None:
    """Exclude Carboy's tables from the application's own migrations, with any instance of `Migrate`."""
    found = app.extensions.get("migrate")
    arguments = getattr(found, "configure_args", None)
    if arguments is None or getattr(arguments.get("include_name"), "hides_carboy", False):
        return
    theirs = arguments.get("include_name")

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "table" and name is not None and is_ours(name):
            return False
        return theirs is None or bool(theirs(name, kind, parents))

    include_name.hides_carboy = True  # type: ignore[attr-defined]
    arguments["include_name"] = include_name


def _connector_of_bind(made: "Engine", settings: DbSettings, credentials: Credentials | None) -> Connector:
    """Return what opens a bind's connections: with its own login where its URL has one, at its own address."""
    url = made.url
    address = Address(url.host, url.port, url.database)
    return Connector(settings, credentials if url.password is None else None, where=lambda: address)
