"""With Carboy."""

from flask import Flask

from carboy import api

app = Flask(__name__)
app.register_blueprint(
    api.blueprint("openapi.yaml", strict_validation=True, validate_responses=True, invalid_status=400)
)
