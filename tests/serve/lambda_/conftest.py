"""The logs of a handler, read back."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from carboy import logs


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Return the lines that were logged so far."""
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    logs.setup("INFO", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.reset()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
