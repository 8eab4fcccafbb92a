"""Fleece's names, for those who come from there: in imports, `fleece` becomes `carboy.fleece`.

Each name is a few lines over a part of Carboy; a module is loaded when it is first asked for.

Source: Fleece 1.2.1 (Rackspace, Apache-2.0), for names and arguments.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carboy.fleece import (
        authpolicy,
        boto3,
        events,
        handlers,
        httperror,
        log,
        profiling,
        raxauth,
        requests,
        testing,
        utils,
        xray,
    )

__all__ = ["authpolicy", "boto3", "events", "handlers", "httperror", "log", "profiling", "raxauth", "requests", "testing", "utils", "xray"]  # noqa: E501  # fmt: skip


__version__ = "1.2.1"  # whose names these are


def __getattr__(name: str) -> Any:
    if name in __all__ or name == "connexion":
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
