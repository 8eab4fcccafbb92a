"""The part `limits` alone, in an application that has a factory, a configuration and logging of its own.

Bodies over `MAX_BODY_BYTES` are answered 413, callers who ask too often 429 with `Retry-After`.
"""

import logging

from flask import Flask, request

import carboy


class Config:
    SECRET_KEY = "their own"
    MAX_BODY_BYTES = 1_000
    RATE_LIMIT = "20/60s"


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["limits"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.post("/orders")
    def order() -> dict[str, int]:
        return {"bytes": len(request.get_data())}

    return app
