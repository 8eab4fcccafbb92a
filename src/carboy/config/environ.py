"""The process's environment: the only place in the product that reads it."""

import os

__all__ = ["read_environ"]


def read_environ() -> dict[str, str]:
    """Return a copy of the environment as it is now."""
    return dict(os.environ)
