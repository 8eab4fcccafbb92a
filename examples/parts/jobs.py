"""The part `jobs` alone, in an application that has a factory, a configuration and logging of its own.

Work that is not lost: rows of the caller's own transaction. `carboy worker --app …` runs them, so does `carboy serve`.
"""

import logging

from flask import Flask

import carboy
from carboy.jobs import enqueue, job
from carboy.web import runtime


class Config:
    SECRET_KEY = "their own"


@job("mail.welcome", attempts=5)
def send_welcome(address: str) -> None:
    logging.getLogger("mail").info("welcome, %s", address)


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    held = carboy.init_app(app, parts=["jobs"])
    held.jobs.registry.add(send_welcome)

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.post("/customers/<address>")
    def customer(address: str) -> dict[str, str]:
        with runtime().engine.begin() as connection:  # what else belongs to it is written here
            enqueue(send_welcome, address, session=connection)
        return {"will_be_welcomed": address}

    return app
