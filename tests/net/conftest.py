"""Defaults belong to the process: each test begins and ends with Carboy's."""

from collections.abc import Iterator

import pytest

from carboy.net import defaults


@pytest.fixture(autouse=True)
def _own_defaults() -> Iterator[None]:
    kept = defaults.default_retries()
    yield
    defaults.set_default_timeout()
    defaults._defaults.retries = kept
