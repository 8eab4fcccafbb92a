"""The part `request_ids` alone, in an application that has a factory, a configuration and logging of its own.

Every answer carries `X-Request-Id`, a caller's own id is kept, and each request is one line of the log.
"""

import logging

from flask import Flask, g

import carboy


class Config:
    SECRET_KEY = "their own"


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["request_ids"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world", "asked_as": g.request_id}

    return app
