"""SnapStart: what a restored copy must not share with the others that began as the same snapshot.

Random seeds, open sockets and credentials are in the snapshot; all copies would use the same ones, and they are stale.

Source: AWS Lambda Developer Guide, "Implement code before or after Lambda function snapshots".
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from carboy.extension import find_extension


def call_after_restore(callback: Callable[[], None]) -> None:
    """Have the Lambda runtime call this after each restore; nothing where there is no such runtime."""
    with suppress(ImportError):
        from snapshot_restore_py import register_after_restore  # type: ignore[import-not-found, import-untyped, unused-ignore]

        register_after_restore(callback)


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
