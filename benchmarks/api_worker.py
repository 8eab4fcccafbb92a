"""Measure one library in its own environment: a path and a query parameter, and a JSON body of five fields, checked.

Run as `python api_worker.py NAME`; prints the least microseconds of a request, and of one to a plain Flask view in the
same process, as JSON. It needs nothing but the library and Flask.
"""

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # last: modules here have names of Python's own

CALLS, BUDGET_S = 50, 4.0
BODY = {"name": "Ann", "age": 5, "email": "ann@example.com", "tags": ["a", "b"], "active": True}
DATA = json.dumps(BODY).encode()
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "email": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "active": {"type": "boolean"},
    },
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "people", "version": "1"},
    "paths": {
        "/people/{person}": {
            "post": {
                "operationId": "api_worker.save",
                "parameters": [
                    {"name": "person", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 10}},
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA}}},
                "responses": {"200": {"description": "saved", "content": {"application/json": {}}}},
            }
        }
    },
}


def save(person: int, limit: int, body: Any) -> Any:
    return {"person": person, "limit": limit, "name": body["name"]}


def environ(path: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "limit=20",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(DATA)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(DATA),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def wsgi_caller(app: Any, path: str) -> Callable[[], bytes]:
    def call() -> bytes:
        answer = app(environ(path), lambda status, headers, exc_info=None: None)
        data = b"".join(answer)
        answer.close()
        return data

    return call


def plain_flask() -> Callable[[], bytes]:
    """A view that reads nothing and checks nothing: the least that Flask does."""
    from flask import Flask

    app = Flask("plain")

    @app.post("/people/<int:person>")
    def view(person: int) -> Any:
        return {"person": person, "limit": 20, "name": "Ann"}

    return wsgi_caller(app.wsgi_app, "/people/7")


def flask_by_hand() -> Callable[[], bytes]:
    """A view that reads the same values and checks none of them."""
    from flask import Flask, request

    app = Flask("by_hand")

    @app.post("/people/<int:person>")
    def view(person: int) -> Any:
        return save(person, request.args.get("limit", 10, type=int), request.get_json())

    return wsgi_caller(app.wsgi_app, "/people/7")


def carboy() -> Callable[[], bytes]:
    from flask import Flask

    from carboy import api

    app = Flask("carboy")
    app.register_blueprint(api.blueprint(DOCUMENT, {"api_worker.save": save}))
    return wsgi_caller(app.wsgi_app, "/people/7")


def connexion_2() -> Callable[[], bytes]:
    import connexion

    app = connexion.FlaskApp("connexion_2")
    app.add_api(DOCUMENT, strict_validation=True)
    return wsgi_caller(app.app.wsgi_app, "/people/7")


def connexion_3() -> Callable[[], bytes]:
    import connexion

    app = connexion.FlaskApp("connexion_3")
    app.add_api(DOCUMENT, strict_validation=True)
    loop = asyncio.new_event_loop()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/people/7",
        "raw_path": b"/people/7",
        "root_path": "",
        "query_string": b"limit=20",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(DATA)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    start: asyncio.Queue[Any] = asyncio.Queue()
    loop.run_until_complete(_lifespan(app, start))

    def call() -> bytes:
        parts: list[bytes] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": DATA, "more_body": False}

        async def send(message: Any) -> None:
            parts.append(message.get("body", b""))

        loop.run_until_complete(app(dict(scope, headers=list(scope["headers"]), state={}), receive, send))
        return b"".join(parts)

    return call


async def _lifespan(app: Any, messages: "asyncio.Queue[Any]") -> None:
    """Start an ASGI application's lifespan, and wait until it has started."""
    started = asyncio.Event()
    messages.put_nowait({"type": "lifespan.startup"})

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set()

    task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, messages.get, send))
    await asyncio.wait({task, asyncio.ensure_future(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
    globals()["_kept"] = task


def openapi_core() -> Callable[[], bytes]:
    from flask import Flask, request
    from openapi_core import OpenAPI
    from openapi_core.contrib.flask.decorators import FlaskOpenAPIViewDecorator

    app = Flask("openapi_core")
    checked = FlaskOpenAPIViewDecorator(OpenAPI.from_dict(DOCUMENT))

    @app.post("/people/<int:person>")
    @checked
    def view(person: int) -> Any:
        return save(person, request.openapi.parameters.query["limit"], request.openapi.body)

    return wsgi_caller(app.wsgi_app, "/people/7")


def flask_smorest() -> Callable[[], bytes]:
    import marshmallow as ma
    from flask import Flask
    from flask_smorest import Api, Blueprint

    class Person(ma.Schema):
        name = ma.fields.String(required=True, validate=ma.validate.Length(min=1))
        age = ma.fields.Integer(validate=ma.validate.Range(min=0))
        email = ma.fields.String()
        tags = ma.fields.List(ma.fields.String())
        active = ma.fields.Boolean()

    class Query(ma.Schema):
        limit = ma.fields.Integer(load_default=10, validate=ma.validate.Range(min=1))

    app = Flask("smorest")
    app.config.update(API_TITLE="people", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    blueprint = Blueprint("people", "people")

    @blueprint.route("/people/<int:person>", methods=["POST"])
    @blueprint.arguments(Query, location="query")
    @blueprint.arguments(Person)
    @blueprint.response(200)
    def view(query: Any, body: Any, person: int) -> Any:
        return save(person, query["limit"], body)

    Api(app).register_blueprint(blueprint)
    return wsgi_caller(app.wsgi_app, "/people/7")


SUBJECTS = {
    "flask, reading by hand": flask_by_hand,
    "carboy.api": carboy,
    "connexion 2.15": connexion_2,
    "connexion 3": connexion_3,
    "openapi-core": openapi_core,
    "flask-smorest": flask_smorest,
}


def measure(call: Callable[[], bytes]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - started) / CALLS * 1e6


def main(name: str) -> None:
    call, plain = SUBJECTS[name](), plain_flask()
    answer = json.loads(call())
    if answer != {"person": 7, "limit": 20, "name": "Ann"}:
        raise SystemExit(f"{name} answered {answer}")
    base, subject = float("inf"), float("inf")
    until = time.perf_counter() + BUDGET_S
    while time.perf_counter() < until:  # in turn, and the least of each: a busy neighbour slows both
        base, subject = min(base, measure(plain)), min(subject, measure(call))
    print(json.dumps({"plain": base, "subject": subject}))


if __name__ == "__main__":
    main(sys.argv[1])
