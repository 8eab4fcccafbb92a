"""The floor: an empty Flask view, served by the same server in the same way."""

from flask import Flask


def create_app() -> Flask:
    app = Flask("bare")

    @app.post("/")
    def nothing() -> tuple[str, int]:
        return "", 202

    return app
