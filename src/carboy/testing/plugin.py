"""The pytest plugin: a Carboy application and a client of it, ready in a test's arguments.

Loaded at the start of every pytest run where Carboy is installed, so it imports nothing but pytest until it is used.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from carboy.testing.clock import ManualClock

__all__ = ["carboy_app", "carboy_client", "carboy_clock", "carboy_overrides"]


@pytest.fixture
def carboy_overrides() -> Mapping[str, Any]:
    """Settings of `carboy_app`: define a fixture of this name to have your own."""
    return {}


@pytest.fixture
def carboy_app(carboy_overrides: Mapping[str, Any], tmp_path: Path) -> "Flask":
    """An application on the profile `test`: no keys are asked for, and what it keeps lies in the test's own folder."""
    settings = {"PROFILE": "test", "AUTH": "off", "INSTANCE_PATH": str(tmp_path / "instance"), **carboy_overrides}
    app: Flask = import_module("carboy").create_app(**settings)
    return app


@pytest.fixture
def carboy_client(carboy_app: "Flask") -> "FlaskClient":
    """A test client of `carboy_app`."""
    return carboy_app.test_client()


@pytest.fixture
def carboy_clock() -> "ManualClock":
    """A clock that stands still until the test moves it."""
    from carboy.testing.clock import ManualClock

    return ManualClock()
