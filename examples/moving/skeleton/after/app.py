"""The same service: what was copied around is gone, what is its own stays."""

from dataclasses import dataclass

from flask import Blueprint, Flask, jsonify

import carboy
from carboy.config import setting
from carboy.db import db
from carboy.web import runtime

api = Blueprint("api", __name__)


@dataclass(frozen=True)
class settings:  # noqa: N801 (a module offers its settings under this name)
    page_size: int = setting(20, "orders on a page")


class Order(db.Model):
    number = db.Column(db.Integer, primary_key=True)
    item = db.Column(db.String(40))


@api.get("/orders")
def list_orders():
    size = runtime().settings["PAGE_SIZE"]
    found = db.session.execute(db.select(Order).limit(size)).scalars()
    return jsonify(orders=[one.item for one in found], size=size)


def register(app: Flask) -> None:
    app.register_blueprint(api)


def create_app() -> Flask:
    return carboy.create_app()
