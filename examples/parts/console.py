"""The part `console` alone, in an application that has a factory, a configuration and logging of its own.

`/console` shows jobs, keys, settings and health; `carboy console --app …` opens it with a one-time login.
"""

import logging

from flask import Flask

import carboy


class Config:
    SECRET_KEY = "their own"


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["console"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    return app
