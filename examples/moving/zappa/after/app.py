"""Orders, for any server and for Lambda."""

import json
from dataclasses import dataclass

from flask import Flask, jsonify, request

import carboy
from carboy.config import setting
from carboy.web import runtime


@dataclass(frozen=True)
class settings:  # noqa: N801 (a module offers its settings under this name)
    greeting: str = setting("hello", "how a customer is met")


shipped: list[int] = []


def register(app: Flask) -> None:
    @app.get("/orders/<int:number>")
    def order(number):
        event = request.environ.get("lambda.event") or {}
        stage = event.get("requestContext", {}).get("stage", "")
        return jsonify(number=number, greeting=runtime().settings["GREETING"], stage=stage)

    @app.on_event("schedule", "nightly")
    def sweep(event):
        shipped.clear()

    @app.on_event("sqs", "orders")
    def ship(record):
        shipped.append(json.loads(record["body"])["number"])  # only the one that fails comes back


def create_app() -> Flask:
    return carboy.create_app()
