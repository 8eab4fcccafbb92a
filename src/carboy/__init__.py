"""Carboy takes Flask services to production; nothing heavy is imported here."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `carboy.web` has, for type checkers without an import that points up
    from collections.abc import Sequence
    from pathlib import Path

    from flask import Flask

    def create_app(
        profile: str | None = None,
        *,
        folder: Path | str | None = None,
        env_file: str | None = None,
        **overrides: Any,
    ) -> Flask:
        """See `carboy.web.create_app`."""
        ...

    def init_app(app: Flask, parts: Sequence[str] | None = None, *, folder: Path | str | None = None) -> Any:
        """See `carboy.web.init_app`."""
        ...


__version__ = "0.1.0"

__all__ = ["__version__", "create_app", "init_app"]


def __getattr__(name: str) -> Any:
    if name in {"create_app", "init_app"}:
        return getattr(import_module("carboy.web"), name)
    raise AttributeError(f"module 'carboy' has no attribute {name!r}")
