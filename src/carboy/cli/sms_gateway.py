"""Open the gateway of the project's application for a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from carboy.cli.project import Project
from carboy.errors import UsageError

if TYPE_CHECKING:
    from carboy.services.sms import Gateway


@contextmanager
def open_gateway(project: Project) -> "Iterator[Gateway]":
    """Give the gateway of the application, within its context."""
    from carboy.services.sms.gateway import Gateway

    runtime = project.runtime()
    gateway = runtime.find(Gateway)
    if gateway is None:
        raise UsageError("there is no SMS gateway", "MODULES does not name carboy.services.sms", "add it to MODULES")
    try:
        with runtime.app.app_context():
            yield gateway
    finally:
        runtime.close()
