"""The part `trace` alone, in an application that has a factory, a configuration and logging of its own.

`TRACE=xray` sends a segment of each request over UDP, with whatever `@trace()` is around as its parts.
"""

import logging

from flask import Flask

import carboy
from carboy.trace import trace


class Config:
    SECRET_KEY = "their own"
    TRACE = "xray"


@trace()
def look_up(number: int) -> int:
    return number * 2


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["trace"])

    @app.get("/hello")
    def hello() -> dict[str, int]:
        return {"found": look_up(21)}

    return app
