"""What a service is made with: `--with db,openapi`, and what follows from it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from carboy.errors import UsageError

CHOICES = {
    "db": "a table with its migration, and a job that works on it",
    "archive": "the archive of webhooks",
    "sms": "the SMS gateway",
    "openapi": "an OpenAPI document as the router",
    "lambda": "a queue and a schedule, besides the HTTP that every service answers on Lambda",
    "console": "a page in the browser, beside those for jobs, keys, settings and health",
}
"""What can stand behind `--with`, and what it adds."""

_SERVICES = ("archive", "sms")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a service is made with, each of `CHOICES`."""

    chosen: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.chosen

    @property
    def modules(self) -> tuple[str, ...]:
        """What `MODULES` names."""
        return ("app", *(f"carboy.services.{name}" for name in _SERVICES if name in self))

    @property
    def extras(self) -> tuple[str, ...]:
        """Which of Carboy's extras the service needs; those of the services hold the others."""
        return tuple(name for name in _SERVICES if name in self) or ("api", "aws", "db")

    @property
    def needs_database(self) -> bool:
        """Whether the service keeps rows that must outlive a Lambda function."""
        return bool(self.chosen & {"db", "console", *_SERVICES})


def parse_choices(texts: Iterable[str]) -> Choices:
    """Return what several `--with a,b` ask for.

    Raises:
        UsageError: there is no such choice.
    """
    named = [name.strip().lower() for text in texts for name in text.split(",") if name.strip()]
    unknown = [name for name in named if name not in CHOICES]
    if unknown:
        near = difflib.get_close_matches(unknown[0], CHOICES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "choose of these, separated by commas"
        raise UsageError(f"a service cannot be made with `{unknown[0]}`", f"there are {', '.join(CHOICES)}", hint)
    return Choices(frozenset(named))
