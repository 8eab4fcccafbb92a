"""Find the modules that `MODULES` names, and what each brings."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from carboy.errors import ConfigurationError
from carboy.web.pages import Page

if TYPE_CHECKING:
    from flask import Flask

    from carboy.jobs import Job
    from carboy.web.health.readiness import Check

__all__ = ["Module", "load_modules"]


class Module(NamedTuple):
    """A part of an application.

    Attributes:
        name: its dotted name.
        register: adds its routes and what it needs to the application.
        settings: the dataclasses that declare its settings.
        jobs: the jobs that it can do.
        checks: what `/readyz` asks it; a failure is a 503.
        dependencies: likewise, of what its requests can do without; a failure is `degraded`.
        pages: its pages of the console.
    """

    name: str
    register: "Callable[[Flask], object]"
    settings: tuple[type, ...] = ()
    jobs: "tuple[Job[...], ...]" = ()
    checks: "Mapping[str, Check]" = MappingProxyType({})
    dependencies: "Mapping[str, Check]" = MappingProxyType({})
    pages: tuple[Page, ...] = ()


def load_modules(names: Sequence[str]) -> list[Module]:
    """Import modules by dotted name.

    Raises:
        ConfigurationError: there is no such module, or it has no `register(app)`.
        Exception: whatever a module raises while it is imported, as it is.
    """
    return [_module(name) for name in dict.fromkeys(names)]


def _module(name: str) -> Module:
    if not all(part.strip() for part in name.split(".")):
        raise _refusal(name, "it is no dotted name")
    try:
        found = import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name or name}."):
            raise  # it is there, and something that it needs is not
        raise _refusal(name, "there is no module of that name") from error
    register = getattr(found, "register", None)
    if not callable(register):
        raise _refusal(name, "it has no function `register(app)`")
    settings, jobs, checks, dependencies, pages = (
        _brought(found, what) for what in ("settings", "jobs", "checks", "dependencies", "pages")
    )
    return Module(
        name=name,
        register=register,
        settings=(settings,) if isinstance(settings, type) else tuple(settings or ()),
        jobs=tuple(jobs or ()),
        checks=dict(checks or {}),
        dependencies=dict(dependencies or {}),
        pages=tuple(pages or ()),
    )


def _brought(found: ModuleType, what: str) -> Any:
    """Return what a module declares under a name; a submodule that happens to be called so is no declaration."""
    value = getattr(found, what, None)
    return None if isinstance(value, ModuleType) else value


def _refusal(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the setting `MODULES` names `{name}`", why, "correct MODULES: dotted names, separated by commas"
    )
