"""What the archive's pages reach, the archive, its database, its sources, and what several of them do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carboy.errors import Missing
from carboy.http_values import MAX_ID
from carboy.problems import Problem
from carboy.services.archive.service import Archive, archive_of
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import source_names
from carboy.web import Runtime, mark, record_action, require_scope, runtime, show_notice

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Reach:
    """The archive of the current application."""

    runtime: Runtime
    archive: Archive

    @property
    def engine(self) -> "Engine":
        """The database."""
        return self.runtime.engine

    def sources(self) -> list[str]:
        """Return the names of the sources as the settings are now."""
        return sorted(source_names(self.runtime.newest(ArchiveSettings).archive_sources))


def retry_delivery(delivery: int) -> None:
    """Try a delivery again for a visitor who may have that, and say what came of it."""
    require_scope("destinations:write")
    with found("there is no such delivery"):
        count = reach().archive.destinations.retry_delivery(min(delivery, MAX_ID))
    record_action("delivery.retry", str(delivery))
    show_notice(mark("It is delivered again.") if count else mark("It is on its way, or was delivered."))


@contextmanager
def found(otherwise: str) -> Iterator[None]:
    """Answer 404 where something does not exist."""
    try:
        yield
    except Missing as error:
        raise Problem(404, otherwise) from error


def reach() -> Reach:
    """Return what the current request's pages reach."""
    current = runtime()
    return Reach(current, archive_of(current.app))
