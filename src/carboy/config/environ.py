"""Environment variables of the process; no other module reads or writes them."""

import os
from collections.abc import Mapping


def read_environ() -> dict[str, str]:
    """Return a copy of the environment as it is now."""
    return dict(os.environ)


def live_environ() -> Mapping[str, str]:
    """Return the environment itself: on AWS Lambda the trace's id in it changes with each event."""
    return os.environ


def write_environ(name: str, value: str) -> None:
    """Set a variable for this process and those that it starts."""
    os.environ[name] = value
