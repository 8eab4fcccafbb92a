"""Helpers shared by the tests of the console."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from carboy.web import SCOPES, runtime

HTML = {"Accept": "text/html"}
MODULES = ("carboy.services.archive", "carboy.services.sms")
_CSRF = re.compile(r'name="csrf_token" value="(\w+)"')

MakeApp = Callable[..., Flask]


@dataclass
class Person:
    """A browser without script: follows the forms' tokens."""

    client: FlaskClient
    token: str = ""

    def get(self, path: str, **headers: str) -> Any:
        found = self.client.get(path, headers={**HTML, **headers})
        if (token := _CSRF.search(found.text)) is not None:
            self.token = token[1]
        return found

    def post(self, path: str, **form: Any) -> Any:
        return self.client.post(path, data={"csrf_token": self.token, **form}, headers=HTML)

    def log_in(self, key: str, target: str = "/") -> Any:
        self.get("/login")
        return self.post("/login", key=key, next=target)


def make_key(app: Flask, *scopes: str, expires_at: int | None = None) -> tuple[str, str]:
    """Return a key's id and its text; with all scopes by default."""
    key, text = runtime(app).keys.store.create("operator", scopes or SCOPES, expires_at)
    return key.id, text


def visit(app: Flask, *scopes: str) -> Person:
    """Return a visitor logged in with a key of these scopes, by default all."""
    person = Person(app.test_client())
    assert person.log_in(make_key(app, *scopes)[1]).status_code == 303
    person.get("/")
    return person
