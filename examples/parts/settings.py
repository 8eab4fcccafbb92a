"""The part `settings` alone, in an application that has a factory, a configuration and logging of its own.

The environment, `.env` and `carboy.toml` come into `app.config`, checked; what the application said itself is stronger.
"""

import logging

from flask import Flask

import carboy


class Config:
    SECRET_KEY = "their own"
    MAX_BODY_BYTES = 5_000


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    held = carboy.init_app(app, parts=["settings"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/about")
    def about() -> dict[str, object]:
        said = held.settings.entry("APP")
        return {"app": app.config["APP"], "from": said.layer, "max_body_bytes": app.config["MAX_BODY_BYTES"]}

    return app
