"""The part `keys` alone, in an application that has a factory, a configuration and logging of its own.

`carboy keys create ann --scope orders:read --app …` makes a key; its hash is kept in the database.
"""

import logging

from flask import Flask

import carboy
from carboy.web import current_key, require


class Config:
    SECRET_KEY = "their own"


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["keys"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/orders")
    @require("orders:read")  # 401 without a key, 403 without the scope
    def orders() -> dict[str, str | None]:
        key = current_key()
        return {"asked_by": key.name if key else None}

    return app
