"""`db`: Flask-SQLAlchemy's object for a project's own models, on the engine that these settings make."""

from typing import TYPE_CHECKING

from flask import Flask

from carboy.db.catalog import NAMING
from carboy.db.engine import engine_options, prepare
from carboy.db.settings import DbSettings
from carboy.extras import extra

with extra("db"):
    from flask_migrate import Migrate
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import MetaData

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["bind", "db"]

db = SQLAlchemy(metadata=MetaData(naming_convention=NAMING))


def bind(app: Flask, settings: DbSettings) -> "Engine":
    """Bind `db` and Flask-Migrate to an application and return its engine.

    An application that has `SQLALCHEMY_DATABASE_URI` of its own keeps it.
    """
    app.config.setdefault("SQLALCHEMY_DATABASE_URI", settings.database_url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings)
    if "sqlalchemy" not in app.extensions:
        db.init_app(app)
    if "migrate" not in app.extensions:
        Migrate(app, db, render_as_batch=True, compare_type=True)
    with app.app_context():
        return prepare(db.engine, settings)
