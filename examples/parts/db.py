"""The part `db` alone, in an application that has a factory, a configuration and logging of its own.

`DATABASE_URL`, or an RDS secret that rotates; `db.session` is for models of one's own, and `/readyz` gets a check.
"""

import logging

from flask import Flask
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

import carboy
from carboy.db import Model, db


class Config:
    SECRET_KEY = "their own"


class Order(Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(100))


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    held = carboy.init_app(app, parts=["db"])
    held.engine.connect().close()  # makes an embedded database, with Carboy's own tables
    with app.app_context():
        db.create_all()  # a project keeps migrations: `carboy db init`

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.post("/orders/<what>")
    def order(what: str) -> dict[str, list[str]]:
        db.session.add(Order(what=what))
        db.session.commit()
        return {"orders": list(db.session.scalars(select(Order.what)))}

    return app
