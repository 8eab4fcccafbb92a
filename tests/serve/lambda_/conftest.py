"""The logs of a handler, read back; each test leaves them as it found them."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from carboy import logs


@pytest.fixture(autouse=True)
def _fresh_logs() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logs.reset()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def lines() -> Callable[[], list[dict[str, Any]]]:
    """Return the lines that were logged so far."""
    stream = io.StringIO()
    logs.setup("INFO", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
