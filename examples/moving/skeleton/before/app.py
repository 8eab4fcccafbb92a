"""A factory, extensions, a blueprint, error handlers, a health check: the skeleton that is copied around."""

import os
import uuid

from flask import Blueprint, Flask, current_app, g, jsonify, request
from flask_sqlalchemy import SQLAlchemy

from config import config

db = SQLAlchemy()
api = Blueprint("api", __name__)


class Order(db.Model):
    number = db.Column(db.Integer, primary_key=True)
    item = db.Column(db.String(40))


@api.get("/orders")
def list_orders():
    found = db.session.execute(db.select(Order).limit(current_app.config["PAGE_SIZE"])).scalars()
    return jsonify(orders=[one.item for one in found], size=current_app.config["PAGE_SIZE"])


@api.get("/health")
def health():
    return jsonify(status="ok")


def create_app(name=None):
    app = Flask(__name__)
    app.config.from_object(config[name or os.environ.get("FLASK_CONFIG", "default")])
    db.init_app(app)

    @app.before_request
    def give_id():
        g.request_id = request.headers.get("X-Request-Id", uuid.uuid4().hex)

    @app.errorhandler(404)
    @app.errorhandler(500)
    def tell(error):
        return jsonify(error=str(error)), error.code

    app.register_blueprint(api)
    with app.app_context():
        db.create_all()
    return app
