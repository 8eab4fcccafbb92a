"""The part `docs` alone, in an application that has a factory, a configuration and logging of its own.

`/docs`, `/openapi.json` and `/openapi.yaml` of everything that is served by an OpenAPI document.
"""

import logging

from flask import Flask

import carboy
from carboy.web import add_api


class Config:
    SECRET_KEY = "their own"


DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "orders", "version": "1"},
    "paths": {"/hello": {"get": {"operationId": "hello", "responses": {"200": {"description": "a greeting"}}}}},
}


class Operations:
    def hello(self) -> dict[str, str]:
        return {"hello": "world"}


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["docs"])
    add_api(app, DOCUMENT, Operations())

    return app
