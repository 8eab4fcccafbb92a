"""SnapStart: what a restored copy must not share with the others that began as the same snapshot.

Random seeds, open sockets and credentials are in the snapshot; all copies would use the same ones, and they are stale.

Source: AWS Lambda Developer Guide, "Implement code before or after Lambda function snapshots".
"""

import random
from collections.abc import Callable
from typing import Any

from carboy.extension import find_extension


class RestoreHooks:
    """What is called when the function is restored from a snapshot, in order of registration."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = [random.seed]

    def add(self, callback: Callable[[], None]) -> None:
        """Call this, too, after each restore."""
        self._callbacks.append(callback)

    def run(self) -> None:
        """Call all of them; an error ends the restore, as a function with stale credentials must not run."""
        for callback in self._callbacks:
            callback()

    def register(self) -> bool:
        """Have the Lambda runtime call `run` after each restore; return whether there is such a runtime."""
        try:
            from snapshot_restore_py import register_after_restore  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError:
            return False
        register_after_restore(self.run)
        return True


def renew_application(application: Any) -> None:
    """Close what an application of Flask keeps open: its database connections, and what its parts ask for.

    A part asks with a callback in `on_restore` of `carboy.extension.extension_of(app)`, such as the runtime.
    """
    extensions = getattr(application, "extensions", None) or {}
    extension: Any = find_extension(application)
    for callback in extension.on_restore if extension else ():
        callback()
    if "database" in getattr(extension, "checks", ()):
        extension.engine.dispose(close=False)  # the sockets are another machine's: do not say goodbye on them
    elif "sqlalchemy" in extensions:
        with application.app_context():
            for engine in extensions["sqlalchemy"].engines.values():
                engine.dispose(close=False)
