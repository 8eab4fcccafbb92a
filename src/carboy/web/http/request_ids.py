"""The id of a request: the caller's where it is harmless, else a new one."""

import re

from carboy.logs import new_request_id

_is_harmless = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


def choose_request_id(given: str | None) -> str:
    """Return the caller's id when it is 1 to 128 characters of `[A-Za-z0-9._-]`, else a new one."""
    return given if given is not None and _is_harmless(given) else new_request_id()
