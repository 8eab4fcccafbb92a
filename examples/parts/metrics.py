"""The part `metrics` alone, in an application that has a factory, a configuration and logging of its own.

`/metrics` for Prometheus, to keys of scope `metrics:read`; here, on the profile `local`, to anyone.
"""

import logging

from flask import Flask

import carboy


class Config:
    SECRET_KEY = "their own"
    AUTH = "off"


def create_app(**config: object) -> Flask:
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    app = Flask(__name__)
    app.config.from_object(Config)
    app.config.update(config)
    held = carboy.init_app(app, parts=["metrics"])
    sold = held.metrics.counter("orders_sold_total", "Orders sold.", ("country",))

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.post("/orders/<country>")
    def order(country: str) -> dict[str, str]:
        sold.inc((country,))
        return {"sold_to": country}

    return app
