"""Orders: one handler for the API and the queue."""

from flask import Flask, request

import carboy
from carboy import logs
from carboy.problems import Problem
from carboy.serve import lambda_handler

log = logs.get_logger("orders")
orders = {}


def register(app: Flask) -> None:
    @app.post("/orders")
    def place():
        number = len(orders) + 1
        orders[number] = {"number": number, "item": request.get_json()["item"]}
        log.info("order_placed", number=number)
        return orders[number], 201

    @app.get("/orders/<int:number>")
    def show(number):
        if number not in orders:
            raise Problem(404, "there is no such order")
        return orders[number]

    @app.on_event("sqs", "orders")
    def ship(record):
        orders.pop(int(record["body"]))


handler = lambda_handler(lambda: carboy.create_app(modules=["app"]))
