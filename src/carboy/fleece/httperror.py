"""Fleece's `httperror`."""

from http.client import responses

__all__ = ["HTTPError"]


class HTTPError(Exception):
    """An answer with a status of 400 or more: `404: Not Found - there is no such order`.

    Attributes:
        status_code: the status.
    """

    default_status: int = 500

    def __init__(self, status: int | None = None, message: str | None = None) -> None:
        self.status_code: int = status or self.default_status
        said = f"{self.status_code}: {responses.get(self.status_code, '')}"
        super().__init__(f"{said} - {message}" if message else said)
