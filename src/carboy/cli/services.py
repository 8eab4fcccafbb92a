"""The archive and the SMS gateway of the project's application, as commands use them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from carboy.cli.output import Callback, options
from carboy.cli.project import Project
from carboy.errors import UsageError

if TYPE_CHECKING:
    from carboy.services.archive import Archive
    from carboy.services.archive.destinations.replay import Range
    from carboy.services.sms import Gateway
    from carboy.web import Runtime


def range_options(command: Callback) -> Callback:
    """Give a command the options of a range of kept events: `--from`, `--until` and `--source`."""
    return options(
        click.option(
            "--from", "start", metavar="TIME", required=True, help="Events from then on; ISO 8601 with an offset."
        ),
        click.option("--until", "end", metavar="TIME", required=True, help="The end, excluded."),
        click.option("--source", help="Only of this source."),
    )(command)


@contextmanager
def open_archive(project: Project) -> "Iterator[tuple[Runtime, Archive]]":
    """Give what the application runs with and its archive, in the context of the application.

    Raises:
        ConfigurationError: there is no database.
        UsageError: the application has no archive.
    """
    from carboy.services.archive import Archive

    with project.running() as runtime:
        archive = runtime.find(Archive)
        if archive is None:
            runtime.engine  # noqa: B018 (raises where there is no database)
            raise UsageError(
                "there is no archive", "MODULES does not name carboy.services.archive", "add it to MODULES"
            )
        yield runtime, archive


def read_range(archive: "Archive", start: str, end: str, source: str | None, filter_: str) -> "Range":
    """Return the range of events that options name.

    Raises:
        InvalidInput: with every fault.
    """
    from carboy.services.archive.destinations.operations import read_range as read
    from carboy.services.archive.sources import source_names

    body = {"from": start, "until": end, "filter": filter_, **({"source": source} if source else {})}
    return read(body, source_names(archive.settings.archive_sources))


@contextmanager
def open_gateway(project: Project) -> "Iterator[Gateway]":
    """Give the SMS gateway of the application, in the context of the application.

    Raises:
        UsageError: the application has none.
    """
    from carboy.services.sms.gateway import Gateway

    with project.running() as runtime:
        gateway = runtime.find(Gateway)
        if gateway is None:
            raise UsageError(
                "there is no SMS gateway", "MODULES does not name carboy.services.sms", "add it to MODULES"
            )
        yield gateway
