"""Small applications that say what reached them, each behind `wsgiref.validate`."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

from carboy.serve import lambda_handler

Pairs = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Recorder:
    """Keeps the environ and the body of the last request, and answers with what it was given."""

    def __init__(self, status: str = "200 OK", headers: Pairs | None = None, body: bytes = b"ok") -> None:
        self.environ: dict[str, Any] = {}
        self.body = b""
        self.status, self.answer = status, body
        self.headers = [("Content-Type", "text/plain; charset=utf-8")] if headers is None else headers

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.environ = environ
        self.body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response(self.status, self.headers)
        return [self.answer]


def seen(event: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return the environ that an application gets for an event; its body is under `body`."""
    recorder = Recorder()
    answer = lambda_handler(validator(recorder), **options)(event)
    assert answer["statusCode"] == 200, answer
    json.dumps(answer)  # Lambda does as much
    return {**recorder.environ, "body": recorder.body}


def answered(event: dict[str, Any], application: Application) -> dict[str, Any]:
    """Return a handler's response for an event; the application is checked against PEP 3333."""
    answer: dict[str, Any] = lambda_handler(validator(application))(event)
    json.dumps(answer)
    return answer
