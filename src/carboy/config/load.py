"""Read the layers, merge them, resolve references, check every value: all faults at once."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from carboy.config.base import BaseSettings
from carboy.config.declarations import REQUIRED, Derived, Setting, settings_of, without_none
from carboy.config.environ import read_environ, write_environ
from carboy.config.files import find_toml, read_dotenv, read_toml
from carboy.config.layers import (
    FLASK_PREFIX,
    Layer,
    Origin,
    flatten,
    merge,
    misspelt,
    parameter_values,
    pick_raw,
    similar_profile,
    toml_layers,
)
from carboy.config.profile import Profile, choose_profile
from carboy.config.secret_references import FileResolver, Reference, Resolver, resolve
from carboy.config.settings import Entry, Settings
from carboy.config.values import convert, parse_duration
from carboy.errors import ConfigurationError, Fault

P = TypeVar("P")
T = TypeVar("T")
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://")
"""How Kubernetes' variables for a service begin: a service `db` is `DB_PORT=tcp://10.0.0.1:5432`."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The raw layers as they were read, before the declared settings are known.

    Attributes:
        folder: the project's folder; relative paths of settings start here.
        toml: the document of `carboy.toml`; empty where it has none.
        dotenv: the lines of `.env`, raw.
        environ: the environment, raw.
        overrides: what `create_app(**overrides)` was given, by name in any case.
        overridden_by: the name of that layer: `app.config` for `init_app`.
        closed: the closed file's settings for the stage of the profile; see `read_remote`.
        parameters: what Parameter Store has, by full name, and the prefix that it is below.
        faults: what could not be read; reported with all other faults.
        may_be_foreign: settings by name that nothing here uses. In the environment they may mean something else to the
            application, so a value that is not valid there is ignored, with a warning.
    """

    profile: Profile
    folder: Path
    toml: Mapping[str, Any] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    overridden_by: str = "create_app"
    closed: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[str, Mapping[str, str]] = ("/", MappingProxyType({}))
    faults: tuple[Fault, ...] = ()
    may_be_foreign: Mapping[str, Setting] = field(default_factory=dict)

    def without(self, variables: Collection[str]) -> "Sources":
        """Return the sources without these variables of the environment and `.env`."""
        dotenv, environ = (
            {name: value for name, value in layer.items() if name not in variables}
            for layer in (self.dotenv, self.environ)
        )
        return replace(self, dotenv=dotenv, environ=environ)

    def export_undeclared(self, parts: Iterable[type]) -> None:
        """Export the variables of `.env` that are not settings, as `flask` does; variables that exist stay.

        Args:
            parts: the dataclasses that declare the settings.
        """
        declared = {item.name for part in [BaseSettings, *parts] for item in settings_of(part)}
        for name, value in self.dotenv.items():
            if name.removeprefix(FLASK_PREFIX) not in declared and name not in self.environ:
                write_environ(name, value)


def read_sources(
    *,
    folder: Path | None = None,
    profile: str | None = None,
    env_file: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Sources:
    """Read the environment, `.env` and `carboy.toml`.

    Args:
        folder: the project's folder, where relative paths of settings start; the working folder by default.
        profile: the profile, where the caller decides it; else `FLASK_PROFILE`, `FLASK_ENV`, `local`.
        env_file: read in place of `.env`; it must exist. `CARBOY_ENV_FILE` names it where the caller does not.
        environ: the environment; the process's own by default.
        overrides: the strongest layer; `profile` in it counts as the argument does.

    Raises:
        ConfigurationError: a file cannot be read, or the profile's name is not usable.
    """
    folder = (folder or Path.cwd()).absolute()
    environ = read_environ() if environ is None else environ
    overrides = {name.upper(): value for name, value in (overrides or {}).items()}
    env_file = env_file or environ.get("CARBOY_ENV_FILE")
    dotenv_path = folder / (env_file or ".env")
    dotenv = read_dotenv(dotenv_path) if env_file or dotenv_path.exists() else {}
    toml = find_toml(folder, environ.get("CARBOY_TOML") or dotenv.get("CARBOY_TOML"))
    return Sources(
        profile=choose_profile(profile or overrides.pop("PROFILE", None), environ, dotenv),
        folder=folder,
        toml=read_toml(toml) if toml else {},
        dotenv=dotenv,
        environ=environ,
        overrides=overrides,
    )


def load(
    parts: Sequence[type],
    sources: Sources | None = None,
    *,
    resolvers: Mapping[str, Resolver] | None = None,
) -> Settings:
    """Return the settings of these parts.

    A part is a frozen dataclass made of `setting(…)` fields. It may have a method `faults(profile)` that yields a
    `Fault` for each rule between its values that is broken.

    Args:
        parts: the dataclasses whose settings are wanted; `BaseSettings` is always among them. A relative path is
            taken from the project's folder.
        sources: what was read from outside; read now by default.
        resolvers: of references by scheme, beside `file:`.

    Raises:
        ConfigurationError: with every fault: the setting, its layer, what is wrong, and what is valid.
    """
    sources = sources or read_sources()
    parts = [BaseSettings, *(part for part in parts if part is not BaseSettings)]
    settings, ignored = _ignore_foreign(sources, lambda own: _load(parts, own, resolvers))
    settings.ignored = ignored
    settings.warnings += ignored
    return settings


def _load(parts: Sequence[type], sources: Sources, resolvers: Mapping[str, Resolver] | None) -> Settings:
    declared = _declared(parts)
    layers, faults = _layers(sources, declared)
    faults += sources.faults
    origins = merge(layers)
    entries, broken, skipped, references = _read(origins, declared, resolvers, sources.folder)
    entries["PROFILE"] = Entry("PROFILE", sources.profile.name, "profile")
    faults += broken + _add_defaults(entries, declared, skipped, sources.folder)
    unknown = _unknown_profile(sources)
    if faults:
        raise _refusal([*unknown, *faults])
    settings = Settings(sources.profile, entries, _build(parts, entries, sources.profile, unknown))
    settings.references = references
    settings.warnings = (
        *(f"{one.pointer}: {one.detail}" for one in unknown),
        *(f"`{name}` is not a setting; did you mean `{near}`?" for name, near in _misspelt(sources, origins, declared)),
    )
    return settings


def glance(part: type[P], sources: Sources, resolvers: Mapping[str, Resolver] | None = None) -> P:
    """Return one part's settings before the others are loaded; its rules are checked later, with all others.

    Raises:
        ConfigurationError: a setting of this part is invalid, or its reference cannot be resolved.
    """
    return _ignore_foreign(sources, lambda own: _glance(part, own, resolvers))[0]


def _glance(part: type[P], sources: Sources, resolvers: Mapping[str, Resolver] | None) -> P:
    declared = _declared([part])
    layers, _ = _layers(sources, declared)
    own = [Layer(one.name, {name: value for name, value in one.values.items() if name in declared}) for one in layers]
    entries, faults, skipped, _ = _read(merge(own), declared, resolvers, sources.folder)
    faults += _add_defaults(entries, declared, skipped, sources.folder)
    if faults:
        raise _refusal(faults)
    return part(**{item.field: entries[item.name].value for item in settings_of(part)})  # type: ignore[arg-type]


def _ignore_foreign(sources: Sources, load: Callable[[Sources], T]) -> tuple[T, tuple[str, ...]]:
    """Return what is loaded from sources without foreign variables that are not valid, and a warning for each."""
    ignored: list[str] = []
    while True:
        try:
            return load(sources), tuple(ignored)
        except ConfigurationError as error:
            found = [(names, fault) for fault in error.faults if (names := _foreign(fault, sources))]
            if not found:
                raise
            for names, fault in found:
                why = "as nothing here uses it" if fault.pointer in sources.may_be_foreign else "as Kubernetes sets it"
                detail = fault.detail.removeprefix("from environment: ")
                ignored.append(f"`{names[0]}` is ignored, {why}: {detail}")
            sources = sources.without({each for variables, _ in found for each in variables})


def _foreign(fault: Fault, sources: Sources) -> list[str]:
    """Return the variables of a setting that is not valid, where they may belong to another; else none."""
    name, raw = fault.pointer, {**sources.dotenv, **sources.environ}
    variables = [each for each in (f"{FLASK_PREFIX}{name}", name, f"{name}_FILE") if each in raw]
    item = sources.may_be_foreign.get(name)
    if item is not None and not any(_is_switch(raw[each], item) for each in variables):
        return variables
    is_link = name.endswith("_PORT") and any(_SERVICE_LINK.match(raw[each]) for each in variables)
    return variables if is_link else []


def _is_switch(text: str, item: Setting) -> bool:
    """Return whether a text is on or off for a setting that is one: what is wrong is then not how it is written."""
    try:
        return item.kind is bool and convert(text, bool) in {True, False}
    except ValueError:
        return False


def _declared(parts: Sequence[type]) -> dict[str, Setting]:
    declared: dict[str, Setting] = {}
    for part in parts:
        for item in settings_of(part):
            if item.name in declared and declared[item.name] != item:
                raise ConfigurationError(
                    f"setting `{item.name}` is declared twice",
                    f"`{declared[item.name].part}` and `{item.part}` both declare it",
                    "rename one of them",
                )
            declared[item.name] = item
    return declared


def _layers(sources: Sources, declared: Mapping[str, Setting]) -> tuple[list[Layer], list[Fault]]:
    layers, faults = toml_layers(sources.toml, sources.profile.name, declared)
    prefix, parameters = sources.parameters
    layers += [
        Layer("closed file", flatten(sources.closed, declared)),
        Layer(f"Parameter Store {prefix}", parameter_values(parameters, prefix, declared)),
        Layer(".env", pick_raw(sources.dotenv, declared)),
        Layer("environment", pick_raw(sources.environ, declared)),
        Layer(sources.overridden_by, sources.overrides),
    ]
    return layers, faults


def _read(
    origins: Mapping[str, Origin],
    declared: Mapping[str, Setting],
    resolvers: Mapping[str, Resolver] | None,
    folder: Path,
) -> tuple[dict[str, Entry], list[Fault], set[str], frozenset[Reference]]:
    """Return the typed values, what is wrong, with which names, and the references that were followed."""
    values, used, broken = resolve(
        {name: origin.value for name, origin in origins.items()}, {"file": FileResolver(folder), **(resolvers or {})}
    )
    faults = [Fault(fault.pointer, f"from {origins[fault.pointer].layer}: {fault.detail}") for fault in broken]
    skipped = {fault.pointer for fault in broken}
    entries: dict[str, Entry] = {}
    for name, value in values.items():
        via = "".join(f" via {reference}" for reference in used.get(name, ()))
        origin, item = origins[name], declared.get(name)
        try:
            typed = _convert(value, item) if item else value
        except ValueError as error:
            faults.append(Fault(name, f"from {origin.layer}{via}: {error}; {_wanted(item)}"))
            skipped.add(name)
        else:
            entries[name] = Entry(name, _place(typed, item, folder), origin.layer + via, origin.hides, item)
    return entries, faults, skipped, frozenset(one for found in used.values() for one in found)


def _convert(value: Any, item: Setting) -> Any:
    """Return a value as its setting declares it; seconds may be written with a unit too, such as `500ms`."""
    if item.unit == "s" and isinstance(value, str) and without_none(item.kind) is float and value[-1:].isalpha():
        with suppress(ValueError):
            return parse_duration(value)
    return convert(value, item.kind)


def _add_defaults(
    entries: dict[str, Entry], declared: Mapping[str, Setting], skipped: set[str], folder: Path
) -> list[Fault]:
    faults = []
    derived = []
    for name, item in declared.items():
        if name in entries or name in skipped:
            continue
        if item.default is REQUIRED:
            faults.append(Fault(name, f"no layer gives it; {_wanted(item)}: {item.help}"))
        elif isinstance(item.default, Derived):
            derived.append(item)
        else:
            entries[name] = Entry(name, _place(item.default, item, folder), "default", (), item)
    if skipped or faults:
        return faults
    for item in derived:
        entries[item.name] = Entry(item.name, item.default.make(lambda name: entries[name].value), "default", (), item)
    return faults


def _place(value: Any, item: Setting | None, folder: Path) -> Any:
    """Return a value whose relative path, if it is one, starts at the project's folder."""
    if isinstance(value, Path):
        return folder / value
    return item.place(value, folder) if item and item.place and value is not None else value


def _unknown_profile(sources: Sources) -> list[Fault]:
    name = sources.profile.name
    near = similar_profile(sources.toml, name)
    return [Fault("FLASK_PROFILE", f"carboy.toml has no [profile.{name}]; did you mean `{near}`?")] if near else []


def _build(
    parts: Sequence[type], entries: Mapping[str, Entry], profile: Profile, unknown: Sequence[Fault]
) -> dict[type, Any]:
    built: dict[type, Any] = {}
    faults: list[Fault] = []
    outside: list[Fault] = []
    for part in parts:
        outside += _check_ranges(part, entries)
        built[part] = part(**{item.field: entries[item.name].value for item in settings_of(part)})
        check = getattr(built[part], "faults", None)
        if check is not None:
            faults += check(profile)
    if faults or outside:
        placed = [Fault(one.pointer, f"{one.detail} (from {entries[one.pointer].layer})") for one in faults]
        raise _refusal([*unknown, *outside, *placed])
    return built


def _check_ranges(part: type, entries: Mapping[str, Entry]) -> Iterator[Fault]:
    for item in settings_of(part):
        try:
            item.check_range(entries[item.name].value)
        except ValueError as error:
            yield Fault(item.name, f"from {entries[item.name].layer}: {error}; {_wanted(item)}")


def _misspelt(
    sources: Sources, origins: Mapping[str, Origin], declared: Mapping[str, Setting]
) -> list[tuple[str, str]]:
    found = misspelt(origins, [*declared, "PROFILE"])
    raw = {**sources.dotenv, **sources.environ}
    return [
        (
            f"{FLASK_PREFIX}{name}" if f"{FLASK_PREFIX}{name}" in raw else name,
            f"{FLASK_PREFIX}PROFILE" if near == "PROFILE" else near,
        )
        for name, near in found
    ]


_UNITS = {"s": "seconds"}


def _wanted(item: Setting | None) -> str:
    if item is None:
        return ""
    if item.choices:
        return f"expected one of {', '.join(item.choices)}"
    names = {str: "text", int: "a whole number", float: "a number", bool: "on or off"}
    kind = names.get(without_none(item.kind), "")
    unit = f" of {_UNITS.get(item.unit, item.unit)}" if item.unit else ""
    return f"expected {kind}{unit}" if kind else "see the reference of settings"


def _refusal(faults: Sequence[Fault]) -> ConfigurationError:
    listed = "; ".join(f"`{fault.pointer}`: {fault.detail}" for fault in faults)
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return ConfigurationError(
        f"the settings have {count}", listed, "`carboy settings check` lists them again after each change", faults
    )
