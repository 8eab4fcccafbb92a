"""Orders, for any server and for Lambda."""

from flask import Flask, request

import carboy
from carboy.problems import Problem
from carboy.serve import lambda_handler

orders = {}


def register(app: Flask) -> None:
    @app.post("/orders")
    def place():
        body = request.get_json()
        number = len(orders) + 1
        orders[number] = {"number": number, "item": body["item"]}
        return orders[number]

    @app.get("/orders/<int:number>")
    def show(number):
        if number not in orders:
            raise Problem(404, "there is no such order")
        return orders[number]

    @app.after_request
    def allow_browsers(answer):
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

    @app.on_event("schedule", "sweep")
    def sweep(event):
        orders.clear()

    @app.on_event("sqs", "orders")
    def ship(record):
        orders.pop(int(record["body"]), None)


handler = lambda_handler(lambda: carboy.create_app(modules=["app"]))
