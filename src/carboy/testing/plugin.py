"""The pytest plugin: a Carboy application and a client of it, ready in a test's arguments.

Loaded at the start of every pytest run where Carboy is installed, so it imports nothing but pytest until it is used.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from carboy.testing.clock import ManualClock


@pytest.fixture
def carboy_overrides() -> Mapping[str, Any]:
    """Settings of `carboy_app`: define a fixture of this name to have your own."""
    return {}


@pytest.fixture
def carboy_app(
    request: pytest.FixtureRequest, carboy_overrides: Mapping[str, Any], tmp_path: Path
) -> Iterator["Flask"]:
    """An application on the profile `test`: it needs no keys, and its instance folder is the test's own.

    It reads the project's `carboy.toml` but not its `.env`: a developer's database is not for tests. It goes by
    `carboy_clock` where the test asks for that too, else by the machine's.
    """
    from carboy.clock import SYSTEM_CLOCK
    from carboy.web import create_app, runtime

    clock = request.getfixturevalue("carboy_clock") if "carboy_clock" in request.fixturenames else SYSTEM_CLOCK
    settings = {"auth": "off", "instance_path": str(tmp_path / "instance"), **carboy_overrides}
    no_env = tmp_path / "no.env"
    no_env.touch()
    app = create_app("test", env_file=str(no_env), clock=clock, **settings)
    try:
        yield app
    finally:
        runtime(app).close()


@pytest.fixture
def carboy_client(carboy_app: "Flask") -> "FlaskClient":
    """A test client of `carboy_app`."""
    return carboy_app.test_client()


@pytest.fixture
def carboy_clock() -> "ManualClock":
    """A clock that stands still until the test moves it."""
    from carboy.testing.clock import ManualClock

    return ManualClock()
