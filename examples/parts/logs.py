"""The part `logs` alone, in an application that has a factory, a configuration and logging of its own.

One JSON line per event on stdout, whoever logs it: it replaces the handlers that were there, so it is never a default.
"""

import logging

from flask import Flask

import carboy


class Config:
    SECRET_KEY = "their own"
    LOG_FORMAT = "json"


log = logging.getLogger("orders")


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["logs"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        log.info("greeted", extra={"whom": "world", "password": "never shown"})
        return {"hello": "world"}

    return app
