"""What a module says of its pages; loaded with the module, so it imports nothing heavy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Blueprint


def mark(text: str) -> str:
    """Return a text as it is; it marks the text for translation, which the templates look up by `_`."""
    return text


@dataclass(frozen=True, slots=True)
class Figure:
    """A count over time, one card of the overview.

    Attributes:
        label: what is counted.
        hour: in the last 60 minutes; None while it is not known.
        day: in the last 24 hours.
        week: in the last 7 days.
        series: the counts of the last 24 hours, the oldest first; None for those not known.
        href: the page with the things that were counted.
        is_bad: whether any of them needs attention.
        minute: in the last 60 seconds.
    """

    label: str
    hour: int | None
    day: int | None
    week: int | None
    series: Sequence[int | None] = ()
    href: str = ""
    is_bad: bool = False
    minute: int | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the overview about one part, such as a source or a provider.

    Attributes:
        group: the heading it stands under.
        label: the part's name, as it is.
        value: what is known of it; `params` fill its `%(name)s`.
        state: `ok`, `wait`, `run`, `bad` or empty.
        at_ms: a time that belongs to it, milliseconds since the epoch.
        href: the page about it.
    """

    group: str
    label: str
    value: str = ""
    state: str = ""
    at_ms: int | None = None
    href: str = ""
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that failed: when, what, why, and the page about it."""

    at_ms: int
    title: str
    why: str
    href: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a page adds to the overview."""

    figures: Sequence[Figure] = ()
    facts: Sequence[Fact] = ()
    failures: Sequence[Failure] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the console, with all that lies below its address.

    Attributes:
        title: the page's heading, marked for translation by `mark`.
        label: its name in the navigation.
        scope: what a visitor needs to see it and its link; empty for any visitor.
        blueprint: makes the Flask blueprint of its views; its name is the address, `/console/<name>`.
        group: the heading above its link in the navigation.
        summary: returns what it adds to the overview.
        job_scopes: the scopes without which the arguments of a kind of job are not shown.
    """

    title: str
    label: str
    scope: str
    blueprint: "Callable[[], Blueprint]"
    group: str = ""
    summary: Callable[[], Summary] | None = None
    job_scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)
