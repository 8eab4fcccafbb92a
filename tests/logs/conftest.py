"""Each test of the logs begins and ends as a process does in which nothing was set up."""

import logging
from collections.abc import Iterator

import pytest
from tests.logs.kit import Lines

from carboy import logs
from carboy.redact import forget_secrets


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logs.reset()
    forget_secrets()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def lines() -> Lines:
    """The logs, set up to be read back."""
    stream = Lines()
    logs.setup("DEBUG", "json", stream)
    return stream
