"""The part `health` alone, in an application that has a factory, a configuration and logging of its own.

`/livez` touches nothing; `/readyz` asks every check, each for at most `READY_TIMEOUT_S`.
"""

import logging

from flask import Flask

import carboy


class Config:
    SECRET_KEY = "their own"
    WAREHOUSE_IS_OPEN = True


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    held = carboy.init_app(app, parts=["health"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    def ask_warehouse() -> None:
        if not app.config["WAREHOUSE_IS_OPEN"]:
            raise RuntimeError("the warehouse is closed")

    held.checks["warehouse"] = ask_warehouse

    return app
