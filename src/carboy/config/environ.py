"""The process's environment: the only place in the product that reads or writes it."""

import os

__all__ = ["read_environ", "write_environ"]


def read_environ() -> dict[str, str]:
    """Return a copy of the environment as it is now."""
    return dict(os.environ)


def write_environ(name: str, value: str) -> None:
    """Set a variable for this process and those that it starts."""
    os.environ[name] = value
