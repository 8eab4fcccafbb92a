"""The profile of a service, such as `dev` or `prod`."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from carboy.errors import ConfigurationError

_ALIASES = {"development": "dev", "production": "prod", "testing": "test"}
_VALID = re.compile(r"[a-z0-9-]{1,32}")


class Profile(NamedTuple):
    """A checked profile name."""

    name: str

    @property
    def is_guarded(self) -> bool:
        """Whether careless settings are refused: every profile but `local` and `test` is guarded."""
        return self.name not in {"local", "test"}

    def __str__(self) -> str:
        return self.name


def parse_profile(text: str, source: str = "FLASK_PROFILE") -> Profile:
    """Return the profile of a name; `development`, `production` and `testing` have their short names.

    Raises:
        ConfigurationError: it is not 1 to 32 of a–z, 0–9 and `-` (the name goes into a parameter path).
    """
    name = _ALIASES.get(text, text)
    if not _VALID.fullmatch(name):
        raise ConfigurationError(
            f"the profile given by {source} is not usable",
            "a profile is 1 to 32 of a-z, 0-9 and `-`, as it goes into a parameter path",
            "set FLASK_PROFILE to a name such as local, dev or prod",
        )
    return Profile(name)


def choose_profile(given: str | None, *layers: Mapping[str, str]) -> Profile:
    """Return the given profile, else that of the first layer that has one, else `local`.

    Args:
        given: the name from the command line or `create_app`; None without one.
        layers: raw names and values, the strongest first (environment, then `.env`). In each `FLASK_PROFILE` is
            read before `FLASK_ENV`.
    """
    if given:
        return parse_profile(given, "`--profile` or the program")
    for name in ("FLASK_PROFILE", "FLASK_ENV"):
        for layer in layers:
            if layer.get(name):
                return parse_profile(layer[name], name)
    return Profile("local")
