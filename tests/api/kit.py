"""Helpers shared by the tests of `api`."""

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

Document = dict[str, Any]


MakeDocument = Callable[..., Document]


Serve = Callable[..., FlaskClient]
