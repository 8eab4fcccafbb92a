"""Names of a package that are loaded when they are first asked for: a start pays for what it uses."""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any

from carboy.extras import extra

__all__ = ["lazy_call", "lazy_names"]


def lazy_names(package: str, homes: Mapping[str, Iterable[str]], part: str | None = None) -> Callable[[str], Any]:
    """Return what a package calls `__getattr__`: it imports a name's module, and keeps the name in the package.

    Args:
        package: the package's `__name__`.
        homes: the names by the module that has them; one that begins with a dot lies in the package.
        part: the extra that the modules need; None for none.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with extra(part) if part else nullcontext():
            found = getattr(import_module(home_of[name], package), name)
        setattr(sys.modules[package], name, found)
        return found

    return find


def lazy_call(module: str, name: str) -> Callable[[], Any]:
    """Return a function that calls one of a module, which is imported then: a start does not pay for it."""

    def call() -> Any:
        return getattr(import_module(module), name)()

    return call
