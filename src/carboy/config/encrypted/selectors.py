"""Choose by stage: an exact name first, then the one regular expression that matches the whole name."""

import re
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache


class Ambiguous(Exception):
    """Two or more expressions match one stage; their order in the file decides nothing."""

    def __init__(self, stage: str, names: list[str]) -> None:
        super().__init__(stage, names)
        self.stage: str = stage
        self.names: list[str] = names

    def __str__(self) -> str:
        return f"{' and '.join(f'`{name}`' for name in self.names)} both match the stage `{self.stage}`"


def is_selection(node: Mapping[object, object]) -> bool:
    """Return whether a mapping chooses by stage: a key starts with `+`."""
    return any(isinstance(key, str) and key.startswith("+") for key in node)


@lru_cache(maxsize=512)
def expression(name: str) -> "re.Pattern[str] | None":
    """Return the expression of a name like `/.*/`, which ends at the last slash; None when it is an exact name.

    Raises:
        ValueError: it is not a regular expression.
    """
    if len(name) < 2 or not (name.startswith("/") and name.endswith("/")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(name[1:-1])
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def choose(names: Iterable[str], stage: str) -> str | None:
    """Return the name for a stage: itself, else the only expression that matches it whole, else None.

    Raises:
        Ambiguous: several expressions match.
    """
    names = list(names)
    if stage in names:
        return stage
    found = [name for name in names if (pattern := expression(name)) and pattern.fullmatch(stage)]
    if len(found) > 1:
        raise Ambiguous(stage, found)
    return found[0] if found else None
