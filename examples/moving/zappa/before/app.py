"""Orders, deployed by `zappa deploy prod`."""

import json
import os

from flask import Flask, jsonify, request

app = Flask(__name__)
shipped: list[int] = []


@app.get("/orders/<int:number>")
def order(number):
    event = request.environ.get("lambda.event") or {}
    stage = event.get("requestContext", {}).get("stage", "")
    return jsonify(number=number, greeting=os.environ.get("GREETING", "hello"), stage=stage)


def sweep(event, context):
    shipped.clear()


def ship(event, context):
    # one message that fails brings the whole batch back
    shipped.extend(json.loads(record["body"])["number"] for record in event["Records"])
