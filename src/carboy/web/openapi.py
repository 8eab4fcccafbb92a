"""Serve the OpenAPI documents of an application, and all of them merged at `/openapi.json` and `/docs`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from carboy.extras import extra
from carboy.web.runtime import runtime

if TYPE_CHECKING:
    from flask import Blueprint, Flask
    from flask.typing import ResponseReturnValue

    from carboy.api import Document
    from carboy.web.runtime import Runtime

_FOLDER = Path(__file__).parent / "apidocs" / "openapi"
_PACKAGE = Path(__file__).parents[1]
_SCHEMES: dict[str, dict[str, str]] = {
    "key": {"type": "http", "scheme": "bearer", "bearerFormat": "cby_…"},
    "basic": {"type": "http", "scheme": "basic", "description": "Any name, and the key as the password."},
}
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_ALL_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}


def add_api(
    app: "Flask", document: "Document | str | os.PathLike[str] | Mapping[str, Any]", operations: Any, **options: Any
) -> None:
    """Serve an OpenAPI document, with the API keys as its security, and list it at `/openapi.json` and `/docs`.

    The document's security schemes `key` (HTTP bearer) and `basic` (HTTP basic, the key as password) are known here.
    Where `AUTH` is off nothing is asked for.

    Args:
        app: an application of Carboy's.
        document: its path, its content, or what `carboy.api.load_document` returned.
        operations: whose methods are the operations.
        options: passed to `carboy.api.blueprint`; `security` adds further schemes.
    """
    current = runtime(app)
    served, content = _blueprint_of(current, document, operations, options)
    app.register_blueprint(served)
    name = getattr(document, "name", document)
    if isinstance(name, str | os.PathLike) and Path(name).absolute().is_relative_to(_PACKAGE):
        current.documents.append(lambda: content)
    else:
        own = sum(isinstance(one, _OwnDocument) for one in current.documents)
        current.documents.insert(own, _OwnDocument(content))


class _OwnDocument:
    """The document of the application itself, which comes before those of Carboy's parts."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def __call__(self) -> dict[str, Any]:
        return self._content


def add_own_api(app: "Flask", file: str, operations: Any, rules: Sequence[tuple[str, str, str]], name: str) -> None:
    """Serve a document of Carboy's own, which is loaded at the first request for it or for the merged document.

    Args:
        app: an application of Carboy's.
        file: in the folder of the documents.
        operations: whose methods are the operations.
        rules: the method, the rule and the operationId of each of the document's operations.
        name: the blueprint's name.
    """
    from flask import Blueprint, Flask

    current = runtime(app)

    @cache
    def made() -> tuple[Mapping[str, Callable[..., Any]], dict[str, Any]]:
        served, content = _blueprint_of(current, _FOLDER / file, operations, {"name": name})
        aside = Flask(name)
        aside.register_blueprint(served)
        return aside.view_functions, content

    def view_of(endpoint: str) -> "Callable[..., ResponseReturnValue]":
        def view(**arguments: Any) -> "ResponseReturnValue":
            answer: ResponseReturnValue = made()[0][endpoint](**arguments)
            return answer

        return view

    empty = Blueprint(name, __name__)
    for method, rule, operation_id in rules:
        empty.add_url_rule(rule, operation_id, view_of(f"{name}.{operation_id}"), methods=[method])
    for concrete in {rule for _, rule, _ in rules if "<" not in rule}:  # takes precedence over `/<id>`, by any method
        allowed = [method for method, rule, _ in rules if rule == concrete]
        others = _ALL_METHODS - {*allowed} - ({"HEAD"} if "GET" in allowed else set())
        empty.add_url_rule(concrete, f"{concrete} otherwise", _refuse(allowed), methods=sorted(others))
    app.register_blueprint(empty)
    current.documents.append(lambda: made()[1])


def _refuse(allowed: Sequence[str]) -> "Callable[..., ResponseReturnValue]":
    from werkzeug.exceptions import MethodNotAllowed

    def view() -> "ResponseReturnValue":
        raise MethodNotAllowed(allowed)

    return view


def _blueprint_of(
    runtime: "Runtime", document: Any, operations: Any, options: dict[str, Any]
) -> "tuple[Blueprint, dict[str, Any]]":
    with extra("api"):
        from carboy.api import Document, blueprint, load_document
    from carboy.web.authentication import basic_info, bearer_info

    if not isinstance(document, Document):
        document = load_document(document, cache_dir=runtime.settings["INSTANCE_PATH"] / "cache")
    schemes = document.content.get("components", {}).get("securitySchemes", {})
    known: dict[str, Callable[..., Any]] = {"key": bearer_info, "basic": basic_info}
    own = {name: info for name, info in known.items() if name in schemes}
    if not runtime.web.auth:
        document = replace(document, content=_without_security(document.content, own))
        own = {}
    security = {**own, **options.pop("security", {})}
    return blueprint(document, operations, security=security, **options), document.content


def add_documents(app: "Flask", runtime: "Runtime") -> None:
    """Serve the merged document at `/openapi.json`, `/openapi.yaml` and, to be read, at `/docs`."""

    @cache
    def document() -> dict[str, Any]:
        return merged_document(app)

    @cache
    def as_json() -> tuple[bytes, dict[str, str]]:
        return orjson.dumps(document()), {"Content-Type": "application/json"}

    @cache
    def as_yaml() -> tuple[bytes, dict[str, str]]:
        with extra("api"):
            import yaml
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        text = yaml.dump(document(), Dumper=dumper, sort_keys=False, encoding="utf-8", allow_unicode=True)
        return text, {"Content-Type": "application/yaml"}

    @cache
    def page() -> tuple[bytes, dict[str, str]]:
        from carboy.web.apidocs.page import render_page

        return render_page(document())

    def add(path: str, endpoint: str, render: Callable[[], tuple[bytes, dict[str, str]]]) -> None:
        def view() -> "ResponseReturnValue":
            body, headers = render()
            return body, 200, {"Cache-Control": "no-cache", **headers}

        app.add_url_rule(path, endpoint, view)

    add("/openapi.json", "carboy_openapi_json", as_json)
    add("/openapi.yaml", "carboy_openapi_yaml", as_yaml)
    add("/docs", "carboy_docs", page)


def merged_document(app: "Flask") -> dict[str, Any]:
    """Return one OpenAPI document of everything that the application serves by one."""
    with extra("api"):
        from carboy.api import load_document, merge
    current = runtime(app)
    machines = load_document(_FOLDER / "machines.yaml", cache_dir=current.settings["INSTANCE_PATH"] / "cache").content
    served = {rule.rule for rule in app.url_map.iter_rules()}
    machines = {**machines, "paths": {path: item for path, item in machines["paths"].items() if path in served}}
    contents = [_with_known_schemes(content) for content in (*(content() for content in current.documents), machines)]
    if not current.web.auth:
        contents = [_without_security(content, {"key", "basic"}) for content in contents]
    return merge(contents, info={"title": current.title, "version": current.web.api_version})


def _with_known_schemes(content: dict[str, Any]) -> dict[str, Any]:
    """Describe the schemes of the API keys with the same words in every document, so that each stands there once."""
    components = content.get("components", {})
    schemes = components.get("securitySchemes", {})
    known = {
        name: scheme
        for name, scheme in _SCHEMES.items()
        if str(schemes.get(name, {}).get("scheme")).lower() == scheme["scheme"]
    }
    return {**content, "components": {**components, "securitySchemes": {**schemes, **known}}} if known else content


def _without_security(content: Mapping[str, Any], names: Any) -> dict[str, Any]:
    """Return a document in which nothing of these schemes is asked for."""

    def open_up(node: Mapping[str, Any]) -> dict[str, Any]:
        kept = [{name: one[name] for name in one if name not in names} for one in node.get("security", ())]
        return {
            **{key: value for key, value in node.items() if key != "security"},
            **({"security": kept} if any(kept) else {}),
        }

    paths = {
        path: {key: open_up(value) if key in _METHODS else value for key, value in item.items()}
        for path, item in content.get("paths", {}).items()
    }
    return {**open_up(content), "paths": paths}
