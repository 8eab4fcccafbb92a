"""Carboy takes Flask services to production.

Nothing heavy is imported here: `create_app` and `init_app` are found in `carboy.web` when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carboy.web import create_app, init_app

__version__ = "0.1.0"

__all__ = ["__version__", "create_app", "init_app"]


def __getattr__(name: str) -> object:
    if name in {"create_app", "init_app"}:
        return getattr(import_module("carboy.web"), name)
    raise AttributeError(f"module 'carboy' has no attribute {name!r}")
