"""The built-in gateway in a temporary folder, from which the reference is made."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carboy.web import Runtime

__all__ = ["example"]


@contextmanager
def example() -> Iterator["Runtime"]:
    """Yield what the gateway runs with, on its defaults."""
    from carboy.web import create_app, runtime

    with tempfile.TemporaryDirectory() as folder:
        embedded: dict[str, Any] = {
            "instance_path": f"{folder}/instance",
            "database_url": f"sqlite:///{folder}/carboy.db",
        }
        app = create_app("test", folder=folder, **embedded, auth="on", log_level="CRITICAL", parameter_store="off")
        held = runtime(app)
        yield held
        held.engine.dispose()
