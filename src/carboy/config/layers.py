"""Merge configuration layers and remember where each value came from.

Reading the layers is left to `environ` and `files`.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from carboy.config.declarations import Setting
from carboy.errors import Fault

FLASK_PREFIX = "FLASK_"
_FLASKS_OWN = {"APP", "ENV", "PROFILE", "SKIP_DOTENV", "RUN_HOST", "RUN_PORT", "RUN_CERT", "RUN_KEY", "RUN_EXTRA_FILES"}
_TOML_TOP = {"default", "profile", "app"}


class Layer(NamedTuple):
    """Values of one source, by flat upper-case name."""

    name: str
    values: Mapping[str, Any]


class Origin(NamedTuple):
    """A merged value, the layer it came from, and the layers it hides, the strongest first."""

    value: Any
    layer: str
    hides: tuple[str, ...] = ()


def flatten(document: Mapping[str, Any], declared: Mapping[str, Setting]) -> dict[str, Any]:
    """Return nested tables by flat name: `{"db": {"host": "x"}}` is `DB_HOST`; a declared table stays a table."""
    found: dict[str, Any] = {}

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for key, value in node.items():
            name = prefix + re.sub(r"[^A-Za-z0-9]", "_", str(key)).upper()
            known = declared.get(name)
            if isinstance(value, Mapping) and (known is None or not known.is_table):
                walk(value, name + "_")
            else:
                found[name] = value

    walk(document, "")
    return found


def similar_profile(document: Mapping[str, Any], profile: str) -> str | None:
    """Return the profile of a `carboy.toml` whose name is near one that it has no table for; None without such."""
    tables = document.get("profile", {})
    if profile in {"local", "test"} or not isinstance(tables, Mapping) or profile in tables:
        return None
    return next(iter(difflib.get_close_matches(profile, [*tables, "local", "test"], 1, 0.7)), None)


def toml_layers(
    document: Mapping[str, Any], profile: str, declared: Mapping[str, Setting]
) -> tuple[list[Layer], list[Fault]]:
    """Return the layers of a `carboy.toml`: `[default]`, then `[profile.<name>]`; and what stands outside of them."""
    faults = []
    for key in document:
        if key not in _TOML_TOP:
            near = difflib.get_close_matches(key, _TOML_TOP, 1)
            hint = f"; did you mean `{near[0]}`?" if near else "; settings stand below [default] or [profile.<name>]"
            faults.append(Fault(f"carboy.toml `{key}`", f"it is not a known key{hint}"))
    profiles = document.get("profile", {})
    tables = {"[default]": document.get("default", {})}
    if isinstance(profiles, Mapping):
        tables[f"[profile.{profile}]"] = profiles.get(profile, {})
        wrong = [name for name, table in profiles.items() if not isinstance(table, Mapping) and name != profile]
        why = "it must be a table: settings stand below [profile.<name>]"
        faults += [Fault(f"carboy.toml `profile.{name}`", why) for name in wrong]
    else:
        faults.append(Fault("carboy.toml `profile`", "it must be a table of tables: [profile.<name>]"))
    if not isinstance(document.get("app", ""), str):
        faults.append(Fault("carboy.toml `app`", "it must be text: MODULE:NAME of the application"))
    layers = []
    for title, table in tables.items():
        if isinstance(table, Mapping):
            layers.append(Layer(f"carboy.toml {title}", flatten(table, declared)))
        else:
            faults.append(Fault(f"carboy.toml {title}", "it must be a table"))
    return layers, faults


def parameter_values(found: Mapping[str, str], prefix: str, declared: Mapping[str, Setting]) -> dict[str, Any]:
    """Return parameters by flat name: below `/dev_flask/` the parameter `/dev_flask/db/host` is `DB_HOST`.

    A parameter that is also a branch (`/a` beside `/a/b`) counts, and so does what is below it. Below the path of a
    declared table the parts are its keys, and a parameter that is a JSON object stands for all of its own.
    """
    values: dict[str, Any] = {}
    for path in sorted(found):
        parts = path.removeprefix(prefix.rstrip("/")).strip("/").split("/")
        names = ["_".join(parts[: at + 1]).upper().replace("-", "_").replace(".", "_") for at in range(len(parts))]
        depth = next((at for at, name in enumerate(names) if name in declared and declared[name].is_table), None)
        if depth is None:
            text = found[path]
            values[names[-1]] = text if names[-1] in declared else _as_flask_reads(text)
        else:
            below = _nest(parts[depth + 1 :], _as_flask_reads(found[path]))
            old = values.get(names[depth], {})
            is_both = isinstance(old, Mapping) and isinstance(below, Mapping)
            values[names[depth]] = _overlay(old, below) if is_both else found[path]
    return values


def pick_raw(raw: Mapping[str, str], declared: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the settings in an environment or `.env`: declared names, and everything with Flask's prefix.

    `FLASK_DATABASE_URL` wins over `DATABASE_URL`. An undeclared `FLASK_` name is read as Flask's
    `from_prefixed_env` does: as JSON where it is JSON, and `FLASK_A__b` as `b` in the table `A`. `FLASK_APP` is Flask's
    own and never the setting `APP`. `SECRET_KEY_FILE=/run/secrets/key`, as container images have it, is the reference
    `SECRET_KEY=file:/run/secrets/key`; only for secrets, and where the name itself is not given.
    """
    found: dict[str, Any] = {}
    for name, item in declared.items():
        if name in raw:
            found[name] = raw[name]
        elif item.is_secret and not item.is_table and raw.get(f"{name}_FILE"):
            found[name] = f"file:{raw[f'{name}_FILE']}"
    for key, text in raw.items():
        name = key.removeprefix(FLASK_PREFIX)
        if name == key or name in _FLASKS_OWN or not name:
            continue
        if name in declared:
            found[name] = text
            continue
        value, (root, *below) = _as_flask_reads(text), name.split("__")
        old = found.get(root)
        if below and isinstance(old, Mapping):
            found[root] = _overlay(old, _nest(below, value))
        else:
            found[root] = _nest(below, value)
    return found


def merge(layers: Iterable[Layer]) -> dict[str, Origin]:
    """Return each name's value and origin; of several layers the later wins, tables are merged key by key."""
    merged: dict[str, Origin] = {}
    for layer in layers:
        for name, value in layer.values.items():
            below = merged.get(name)
            if below is None:
                merged[name] = Origin(value, layer.name)
                continue
            both_tables = isinstance(value, Mapping) and isinstance(below.value, Mapping)
            merged[name] = Origin(
                _overlay(below.value, value) if both_tables else value, layer.name, (below.layer, *below.hides)
            )
    return merged


def misspelt(names: Iterable[str], declared: Sequence[str]) -> list[tuple[str, str]]:
    """Return the undeclared names that look like a declared one, each with the nearest."""
    return [
        (name, near[0])
        for name in names
        if name not in declared and (near := difflib.get_close_matches(name, declared, 1, cutoff=0.85))
    ]


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _nest(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _as_flask_reads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
