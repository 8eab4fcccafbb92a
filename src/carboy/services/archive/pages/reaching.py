"""What the archive's pages reach: the archive, its database, its sources."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from carboy.services.archive.service import Archive, archive_of
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.archive.sources import source_names
from carboy.web import Runtime, runtime

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


def reach() -> Reach:
    """Return what the current request's pages reach."""
    current = runtime()
    return Reach(current, archive_of(current.app))
