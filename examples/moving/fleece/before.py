"""With Fleece 1.2.1."""

from flask import Flask, jsonify
from fleece.handlers.wsgi import wsgi_handler
from fleece.httperror import HTTPError
from fleece.xray import trace_xray_subsegment

from fleece import log

log.setup_root_logger()
logger = log.get_logger(__name__)
app = Flask(__name__)


@trace_xray_subsegment()
def find(number):
    if number != 1:
        raise HTTPError(404, "there is no such order")
    return {"number": number, "item": "tea"}


@app.get("/orders/<int:number>")
def show(number):
    return jsonify(find(number))


@app.errorhandler(HTTPError)
def tell(error):
    return jsonify(message=str(error)), int(str(error)[:3])


@log.inject_request_ids_into_environment
def handler(event, context):
    return wsgi_handler(event, context, app, logger)
