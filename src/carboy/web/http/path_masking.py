"""Paths as they may be shown: without the secrets that some routes carry in them."""

import re
from collections.abc import Iterable

_ARGUMENT = re.compile(r"<(?:[^:<>]+:)?(\w+)>")
_SECRET = "token"  # noqa: S105 (the name of an argument)
_MAX_CHARS = 512


class SecretPaths:
    """Knows which routes have the argument `token`, which is secret, and hides it in a path.

    Also a path that no route takes (a wrong method, a segment too many) is masked when it begins like such a route:
    a misdirected token is still one.

    Args:
        rules: the routes, as Flask writes them: `/hooks/<source>/<token>`.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        patterns = {_prefix(rule) for rule in rules if _SECRET in _ARGUMENT.findall(rule)}
        self._begins = re.compile("|".join(sorted(patterns)), re.IGNORECASE | re.DOTALL) if patterns else None

    def show(self, path: str) -> str:
        """Return the path as it may be logged: secrets as `<token>`, at most 512 characters."""
        if self._begins is not None:
            found = self._begins.match(path)
            if found:
                path = f"{path[: found.end()]}<token>"
        return path if len(path) <= _MAX_CHARS else path[:_MAX_CHARS] + "…"


def _prefix(rule: str) -> str:
    """Return the pattern of what stands before a rule's first secret argument; slashes may be repeated."""
    pattern, done = "", 0
    for argument in _ARGUMENT.finditer(rule):
        pattern += _literal(rule[done : argument.start()])
        done = argument.end()
        if argument[1] == _SECRET:
            return f"{pattern}(?=.)"
        pattern += "[^/]+"
    return pattern


def _literal(text: str) -> str:
    return re.sub(r"/+", "/+", re.escape(text))
