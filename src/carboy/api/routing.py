"""Where an operation is served: the rule, the converters and the names that Flask's routing wants."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter, ValidationError

from carboy.api import coercion as typed
from carboy.api.parameters import Value
from carboy.api.walk import PLACEHOLDER, operations_of, path_names

_ARGUMENT = re.compile(r"(<[^<>]+>)")
_CONSTANTS = ("None", "True", "False", "__debug__")  # no names of arguments, which Werkzeug makes of them
_NO_WORD = re.compile(r"\W+", re.ASCII)


class Place(NamedTuple):
    """One operation of the document: where it stands, and what it is."""

    path: str
    method: str
    node: Mapping[str, Any]
    item: Mapping[str, Any]
    pointer: tuple[str, ...]


class Route(NamedTuple):
    """One operation, ready for Flask."""

    rule: str
    endpoint: str
    view: Callable[..., Any]
    method: str
    has_automatic_options: bool


class _Integer(BaseConverter):
    """Whole numbers with a sign."""

    regex = r"[+-]?[0-9]{1,400}"
    weight = 50

    def to_python(self, value: str) -> int:
        return int(value)


class _Number(BaseConverter):
    """Numbers as JSON writes them, and a little more."""

    regex = r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?"
    weight = 50

    def to_python(self, value: str) -> float:
        number = float(value)
        if number in {float("inf"), float("-inf")}:
            raise ValidationError
        return number


class _Path(BaseConverter):
    """Any text: Werkzeug's own begins with no slash, and has no line break."""

    part_isolating = False
    regex = r"[\s\S]+?"
    weight = 200


def places(content: Mapping[str, Any]) -> Iterator[Place]:
    """Yield every operation of a document; HEAD before GET, which would answer it too."""
    for path, item in (content.get("paths") or {}).items():
        if path.startswith("/"):
            for below, method, node in operations_of(item):
                yield Place(path, method, node, item, ("paths", path, *below))


def rule_of(path: str, values: list[Value], content: Any) -> str:
    """Return the rule of a path: numbers have a form of their own; `format: path` and `{+name}` may hold slashes."""
    converters = {value.name: _converter(value, content) for value in values if value.place == "path"}
    keys = path_keys(path)
    parts = PLACEHOLDER.split(path)  # a text, then a name and a text in turn
    rule = [unquote(parts[0])]
    for name, written, text in zip(path_names(path), parts[1::2], parts[2::2], strict=True):
        converter = "path:" if name != written else converters.get(name, "")
        rule += [f"<{converter}{keys[name]}>", unquote(text)]
    return "".join(rule)


def path_keys(path: str) -> dict[str, str]:
    """Return the name that each parameter of a path has in its rule: its own, made fit for Werkzeug."""
    keys: dict[str, str] = {}
    for index, name in enumerate(path_names(path)):
        key = _NO_WORD.sub("_", name)
        fits = name.isascii() and not key[0].isdigit() and key not in {*keys.values(), *_CONSTANTS}
        keys[name] = key if fits else f"carboy_{index}"
    return keys


def key_of(name: str, where: str) -> str:
    """Return the name under which a request holds a parameter."""
    if where == "path":
        return _NO_WORD.sub("_", name)
    return "HTTP_" + name.upper().replace("-", "_") if where == "header" else name


def full_name(operation_id: str, controller: str | None) -> str:
    """Return the dotted name of an operation; its endpoint, by the convention of Connexion, has `_` for the dots."""
    return f"{controller}.{operation_id}" if controller else operation_id


def base_path_of(content: Mapping[str, Any]) -> str:
    """Return the path of a document's first server, by default `/`."""
    servers: Any = content.get("servers") or [{"url": "/"}]
    server: Mapping[str, Any] = servers[0]
    variables = {name: variable["default"] for name, variable in server.get("variables", {}).items()}
    url = PLACEHOLDER.sub(lambda match: variables.get(match[1], ""), server["url"])
    return "/" + unquote(urlsplit(urljoin("http://localhost/", url)).path).strip("/")


def slug(name: str) -> str:
    """Return a name that a blueprint may have."""
    return _NO_WORD.sub("_", name).strip("_").lower() or "api"


def add_converters(state: BlueprintSetupState) -> None:
    """Teach an application the converters that the rules name."""
    state.app.url_map.converters |= {"carboy_integer": _Integer, "carboy_number": _Number, "carboy_path": _Path}


def shadowed_methods(rules: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each concrete rule with its methods, and the methods that only a templated rule of the same path has.

    A concrete path takes precedence over a templated one: without more, `GET /jobs/retry` would be `GET /jobs/{id}`.

    Args:
        rules: each rule with a method.
    """
    methods: dict[str, list[str]] = {}
    for rule, method in rules:
        methods.setdefault(rule, []).append(method)
    templated = {
        re.compile(
            "".join(re.escape(part) if at % 2 == 0 else "[^/]+" for at, part in enumerate(_ARGUMENT.split(rule)))
        ): of
        for rule, of in methods.items()
        if "<" in rule
    }
    for rule, own in methods.items():
        if "<" in rule:
            continue
        others = {method for pattern, of in templated.items() if pattern.fullmatch(rule) for method in of} - {*own}
        if "GET" in own:
            others -= {"HEAD"}
        if others:
            yield rule, own, sorted(others)


def refuse_method(allowed: Sequence[str]) -> Callable[..., Any]:
    """Return a view that answers 405 and names the methods that the path takes."""

    def view(**_: Any) -> Any:
        raise MethodNotAllowed([*allowed, *(["HEAD"] if "GET" in allowed else [])])

    return view


def _converter(value: Value, content: Any) -> str:
    types = typed.types_of(content, value.schema)
    if value.style == "simple" and types in {("integer",), ("number",)}:
        return "carboy_integer:" if types == ("integer",) else "carboy_number:"
    return "carboy_path:" if typed.keyword_of(content, value.schema, "format") == "path" else ""
