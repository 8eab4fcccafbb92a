"""The part `problems` alone, in an application that has a factory, a configuration and logging of its own.

Every error is answered as `application/problem+json`; of an unforeseen one nothing is told but that it is logged.
"""

import logging

from flask import Flask, abort

import carboy
from carboy.errors import Fault
from carboy.problems import Problem


class Config:
    SECRET_KEY = "their own"


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    carboy.init_app(app, parts=["problems"])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/orders/<int:number>")
    def order(number: int) -> dict[str, int]:
        if number == 0:
            raise Problem(422, "there is no such order", faults=[Fault("/number", "begins with 1")])
        abort(404)

    return app
