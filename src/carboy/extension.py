"""What Carboy keeps with a Flask application: one typed object, at `app.extensions["carboy"]`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from blinker import Signal
    from flask import Flask

__all__ = ["EXTENSION", "Extension", "extension_of", "find_extension"]

EXTENSION = "carboy"
T = TypeVar("T")


class Extension:
    """What parts of Carboy leave for each other with an application; `carboy.web.Runtime` is one.

    Attributes:
        binds_models: whether `bind_models` does anything.
        on_restore: called after AWS Lambda has restored a snapshot, to renew what must not be shared.
        on_sqs: works on SQS records that no function of the application wants; returns the `messageId` of those that
            are to come back.
        table_groups: the services whose tables the application uses: `archive`, `sms`.
    """

    binds_models: ClassVar[bool] = False

    def __init__(self) -> None:
        self.on_restore: list[Callable[[], object]] = []
        self.on_sqs: Callable[[Sequence[Any]], list[str]] | None = None
        self.table_groups: set[str] = set()
        self._kept: dict[type, Any] = {}
        self._receivers: list[Callable[..., object]] = []

    def connect(self, signal: "Signal", app: "Flask", receiver: Callable[..., object]) -> None:
        """Call a function for an application's signals; one that the signal itself held would keep the application."""
        signal.connect(receiver, app)
        self._receivers.append(receiver)

    def keep(self, value: object) -> None:
        """Keep an object for the application, found again by its class."""
        self._kept[type(value)] = value

    def find(self, kind: type[T]) -> T | None:
        """Return what was kept of a class; None where nothing was."""
        found: T | None = self._kept.get(kind)
        return found

    def adopt(self, other: "Extension") -> None:
        """Take over what was left with the application before this object was made."""
        self.on_restore += other.on_restore
        self.on_sqs = self.on_sqs or other.on_sqs
        self.table_groups |= other.table_groups
        self._kept |= other._kept
        self._receivers += other._receivers

    def bind_models(self) -> None:
        """Bind `carboy.db.db` to the application; nothing without a runtime."""

    def notify_jobs(self) -> None:
        """Notify the job engine of new rows; nothing without a runtime."""


def find_extension(app: Any) -> Extension | None:
    """Return what Carboy keeps with an application; None where it keeps nothing, or the application is no Flask."""
    found: Extension | None = (getattr(app, "extensions", None) or {}).get(EXTENSION)
    return found


def extension_of(app: Any) -> Extension:
    """Return what Carboy keeps with an application; made where it kept nothing."""
    made: Extension = app.extensions.setdefault(EXTENSION, Extension())
    return made
