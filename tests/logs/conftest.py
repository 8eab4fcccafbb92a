"""Each test of the logs begins and ends as a process does in which nothing was set up."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from carboy import logs
from carboy.redact import forget_secrets


class Lines(io.StringIO):
    """A stream that gives back what was written as the JSON documents that each line must be."""

    @property
    def read_all(self) -> list[dict[str, Any]]:
        text = self.getvalue()
        assert text == "" or text.endswith("\n")
        assert text.splitlines() == text.split("\n")[:-1]
        return [json.loads(line) for line in text.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.read_all[-1]


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
