import subprocess
import sys

import pytest
from flask.testing import FlaskClient

import carboy
from carboy.testing.clock import ManualClock


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


@pytest.mark.skipif(not hasattr(carboy, "create_app"), reason="`carboy.create_app` is not there")
def test_an_application_and_its_client_are_at_hand(carboy_client: FlaskClient) -> None:
    """On the profile `test`, with an instance folder of the test's own."""
    assert carboy_client.get("/livez").status_code == 200
    assert carboy_client.application.config["PROFILE"] == "test"
