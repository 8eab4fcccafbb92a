"""Which names a new service may have: it becomes a folder, a distribution, a part of addresses and parameter paths."""

import keyword
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from carboy.errors import UsageError

_OWN = frozenset({"app", "carboy", "gunicorn", "handler", "migrations", "test", "tests", "wsgi"})
_VALID = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_name(name: str) -> None:
    """Refuse a name that would not work as an import, or would hide something that the service needs.

    Raises:
        UsageError: with a name that would do.
    """
    why = _why_not(name)
    if why is not None:
        raise UsageError(f"a service cannot be called `{name}`", why, f"`{_other(name)}` would do")


def plain_name(text: str) -> str:
    """Return the nearest name of lower-case letters, digits and underscores; `service` where nothing is left."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40].rstrip("_")
    return name if name[:1].isalpha() else f"service_{name}".rstrip("_")


def _why_not(name: str) -> str | None:
    if keyword.iskeyword(name):
        return "it is a keyword of Python"
    if not _VALID.fullmatch(name):
        return "a name is 1 to 40 lower-case letters, digits and underscores, and begins with a letter"
    if name in sys.stdlib_module_names:
        return "Python's standard library has a module of that name"
    if name in _OWN:
        return "every service has a module or folder of that name"
    if name in _needed():
        return "something that the service needs is called so"
    return None


def _other(name: str) -> str:
    plain = plain_name(name)
    return plain if _why_not(plain) is None else f"{plain}_service"


@cache
def _needed() -> frozenset[str]:
    """Return how the distributions that Carboy needs, with all extras, are called, and what they are imported by."""
    needed: set[str] = set()
    waiting = ["carboy"]
    while waiting:
        line = waiting.pop()
        if _canonical(line) not in needed or "[" in line:
            needed.add(_canonical(line))
            waiting += _requirements(line)
    imports = {
        module
        for module, owners in packages_distributions().items()
        if any(_canonical(owner) in needed for owner in owners)
    }
    return frozenset(needed | imports)


def _requirements(line: str) -> list[str]:
    """Return what a distribution needs, with the extras that the line asks for; of Carboy itself with all."""
    name, wanted = _canonical(line), re.findall(r"[\w-]+", line.partition("[")[2].partition("]")[0])
    try:
        found = requires(name.replace("_", "-")) or []
    except PackageNotFoundError:
        return []
    if name == "carboy":
        return [each for each in found if _canonical(each) != "carboy"]
    return [each for each in found if "extra ==" not in each or any(f'extra == "{extra}"' in each for extra in wanted)]


def _canonical(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "_", name).lower()
