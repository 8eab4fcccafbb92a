"""The console: pages in a browser to see and operate a service, and the toolkit that modules build pages with.

A module declares its pages as `pages`, a tuple of `Page`. Everything else of this package is loaded with the first
request to the console.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carboy.lazy import lazy_names
from carboy.web.pages import Fact, Failure, Figure, Page, Summary, mark

if TYPE_CHECKING:
    from carboy.web.console.access import has_scope, visitor
    from carboy.web.console.audit import record
    from carboy.web.console.forms import PAGE_SIZE, read_choice, read_cursor, read_range
    from carboy.web.console.rendering import flash, go, render
    from carboy.web.console.tallies import Tally
    from carboy.web.console.visitors import Visitor

__all__ = [
    "PAGE_SIZE",
    "Fact",
    "Failure",
    "Figure",
    "Page",
    "Summary",
    "Tally",
    "Visitor",
    "flash",
    "go",
    "has_scope",
    "mark",
    "read_choice",
    "read_cursor",
    "read_range",
    "record",
    "render",
    "visitor",
]

__getattr__: Callable[[str], Any] = lazy_names(
    __name__,
    {
        ".access": ("has_scope", "visitor"),
        ".audit": ("record",),
        ".forms": ("PAGE_SIZE", "read_choice", "read_cursor", "read_range"),
        ".rendering": ("flash", "go", "render"),
        ".tallies": ("Tally",),
        ".visitors": ("Visitor",),
    },
)
