"""Helpers shared by the tests of `logs`."""

import io
import json
from typing import Any


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
