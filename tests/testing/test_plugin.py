import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from carboy.testing.clock import ManualClock
from carboy.web import runtime


def test_loading_the_plugin_loads_nothing_of_the_product() -> None:
    """Every pytest run pays for it, also those that never use it."""
    script = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import carboy.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert loaded == ["carboy", "carboy.testing", "carboy.testing.plugin"]


def test_a_clock_is_at_hand(carboy_clock: ManualClock) -> None:
    """Standing still."""
    assert carboy_clock.monotonic_s() == 0


class TestApplication:
    @pytest.fixture
    def carboy_overrides(self) -> Mapping[str, Any]:
        return {"modules": "", "max_body_bytes": 1000}

    def test_an_application_and_its_client_are_at_hand(self, carboy_client: FlaskClient, tmp_path: Path) -> None:
        """On the profile `test`, with an instance folder of the test's own, and the settings that it asks for."""
        config = carboy_client.application.config

        assert carboy_client.get("/livez").status_code == 200
        assert (config["PROFILE"], config["MAX_BODY_BYTES"]) == ("test", 1000)
        assert Path(carboy_client.application.instance_path) == tmp_path / "instance"

    def test_the_projects_settings_are_read_but_not_the_developers_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        """`carboy.toml` counts, `.env` does not."""
        (tmp_path / "carboy.toml").write_text("[profile.test]\napp = 'orders'\n")
        (tmp_path / ".env").write_text("APP=mine\n")
        monkeypatch.chdir(tmp_path)

        app: Flask = request.getfixturevalue("carboy_app")

        assert runtime(app).settings["APP"] == "orders"

    def test_the_application_goes_by_the_clock_that_the_test_holds(
        self, carboy_app: Flask, carboy_clock: ManualClock
    ) -> None:
        """Where the test asks for one."""
        assert runtime(carboy_app).clock is carboy_clock
