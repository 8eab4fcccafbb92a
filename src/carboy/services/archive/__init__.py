"""The archive: keeps every webhook."""

from carboy.extras import extra

with extra("archive"):
    from carboy.services.archive.destinations.hooks import on_archived
    from carboy.services.archive.pages import pages
    from carboy.services.archive.service import Archive, archive_of, register
    from carboy.services.archive.settings import ArchiveSettings as settings

__all__ = ["Archive", "archive_of", "on_archived", "pages", "register", "settings", "table_group"]

table_group = "archive"
