"""Load the modules that `MODULES` names."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from carboy.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

    from carboy.jobs import Job
    from carboy.web.health.readiness import Check
    from carboy.web.pages import Page


class Module(NamedTuple):
    """A part of an application.

    Attributes:
        name: its dotted name.
        register: adds its routes and what it needs to the application.
        settings: the dataclasses that declare its settings.
        jobs: the jobs that it can do.
        checks: those of `/readyz`; a failure is a 503.
        dependencies: checks of what its requests can do without; a failure is `degraded`.
        pages: its pages of the console.
        table_group: which of Carboy's own tables it uses: `archive`, `sms` or none.
    """

    name: str
    register: "Callable[[Flask], object]"
    settings: tuple[type, ...] = ()
    jobs: "tuple[Job[...], ...]" = ()
    checks: "Mapping[str, Check]" = MappingProxyType({})
    dependencies: "Mapping[str, Check]" = MappingProxyType({})
    pages: "tuple[Page, ...]" = ()
    table_group: str = ""


def load_modules(names: Sequence[str]) -> list[Module]:
    """Import modules by dotted name.

    Raises:
        ConfigurationError: the module does not exist, or has no `register(app)`.
        Exception: whatever a module raises while it is imported, as it is.
    """
    return [_module(name) for name in dict.fromkeys(names)]


def _module(name: str) -> Module:
    if not all(part.strip() for part in name.split(".")):
        raise _refusal(name, "it is not a dotted name")
    try:
        found = import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name or name}."):
            raise  # the module exists, and one of its imports does not
        raise _refusal(name, "no module has that name") from error
    register = getattr(found, "register", None)
    if not callable(register):
        raise _refusal(name, "it has no function `register(app)`")
    settings, jobs, checks, dependencies, pages = (
        _declared(found, what) for what in ("settings", "jobs", "checks", "dependencies", "pages")
    )
    return Module(
        name=name,
        register=register,
        settings=(settings,) if isinstance(settings, type) else tuple(settings or ()),
        jobs=tuple(jobs or ()),
        checks=dict(checks or {}),
        dependencies=dict(dependencies or {}),
        pages=tuple(pages or ()),
        table_group=str(_declared(found, "table_group") or ""),
    )


def _declared(found: ModuleType, what: str) -> Any:
    """Return the value of a module's attribute; a submodule of that name does not count."""
    value = getattr(found, what, None)
    return None if isinstance(value, ModuleType) else value


def _refusal(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the setting `MODULES` names `{name}`", why, "correct MODULES: dotted names, separated by commas"
    )
