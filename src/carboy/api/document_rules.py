"""Rules of a document that its grammar cannot express: names used twice, circles, parameters, security, paths.

Source: OpenAPI 3.0.4, 3.1.1 and 3.2.0.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carboy.api.document_errors import Faults
from carboy.api.media_types import FORM, is_json_lines, kind_of
from carboy.api.schema_circles import entangled
from carboy.api.walk import PLACEHOLDER, deref, operations_of, path_names, walk
from carboy.http_values import dig, parse_pointer


def check_circles(content: Mapping[str, Any], faults: Faults) -> None:
    """Record each reference that leads to itself by references alone."""
    good: set[str] = set()
    for _, pointer, node in walk("document", content):
        seen: list[str] = []
        found: Any = node
        while isinstance(found, dict) and isinstance(found.get("$ref"), str) and found["$ref"].startswith("#"):
            reference = found["$ref"]
            if reference in good:
                break
            if reference in seen:
                faults.add((*pointer, "$ref"), "the reference leads back to itself")
                break
            seen.append(reference)
            try:
                found = dig(content, parse_pointer(reference[1:], is_fragment=True))
            except (KeyError, ValueError):  # a name that the schemas resolve, or a fault that is recorded already
                break
        else:
            good.update(seen)


def check_sense(content: Mapping[str, Any], faults: Faults) -> None:
    """Record names used twice, parameters that do not fit their path, and security schemes that are not defined."""
    paths: Mapping[str, Any] = content.get("paths") or {}
    schemes = content.get("components", {}).get("securitySchemes", {})
    _check_security(content.get("security") or [], schemes, (), faults)
    _check_templates(paths, faults)
    for names in entangled(content.get("components", {}).get("schemas", {})):
        detail = (
            f"{len(names)} schemas, `{names[0]}` and `{names[1]}` among them, refer to one another in too many ways"
        )
        faults.add(("components", "schemas", names[0]), detail)
    ids: Counter[str] = Counter()
    for path, item in paths.items():
        if path.startswith("x-"):
            continue
        for below, _, operation in operations_of(item):
            pointer = ("paths", path, *below)
            _check_security(operation.get("security") or [], schemes, pointer, faults)
            _check_parameters(content, path, item, operation, pointer, faults)
            _check_body(content, operation, pointer, faults)
            name = operation.get("operationId")
            if name is not None:
                ids[name] += 1
                if ids[name] > 1:
                    faults.add((*pointer, "operationId"), f"the operationId `{name}` is used twice")


def _check_security(needed: Sequence[Any], schemes: Any, pointer: tuple[str, ...], faults: Faults) -> None:
    for index, requirement in enumerate(needed):
        for name in requirement:
            if name not in schemes:
                faults.add((*pointer, "security", str(index), name), f"no security scheme is named `{name}`")


_SIGNS = {
    **dict.fromkeys("{}", " but around the name of a parameter"),
    "?": ": a query is described by parameters",
    "#": ": a fragment is never sent",
    **dict.fromkeys("<>", ""),
}


def _check_templates(paths: Mapping[str, Any], faults: Faults) -> None:
    seen: dict[tuple[str, str], str] = {}
    for path, item in paths.items():
        if path.startswith("x-"):
            continue
        names = path_names(path)
        for name in sorted({name for name in names if names.count(name) > 1}):
            faults.add(("paths", path), f"the path holds `{{{name}}}` twice")
        for sign in sorted(set("{}?#<>") & set(PLACEHOLDER.sub("", path))):
            faults.add(("paths", path), f"a path does not hold `{sign}`{_SIGNS[sign]}")
        bare = PLACEHOLDER.sub("{}", path)
        methods = [method.upper() for _, method, _ in operations_of(item)]
        for method in methods:
            if (bare, method) in seen:
                detail = f"the path is the same as `{seen[bare, method]}`, which has the method {method} too"
                faults.add(("paths", path), detail)
                break
        seen |= dict.fromkeys(((bare, method) for method in methods), path)


def _check_parameters(
    content: Any, path: str, item: Any, operation: Any, pointer: tuple[str, ...], faults: Faults
) -> None:
    given = list(_parameters(content, item, operation, pointer, faults))
    placed = [name for name, place in given if place == "path"]
    template = path_names(path)
    places = [place for _, place in given if place in {"query", "querystring"}]
    if "querystring" in places and len(places) > 1:
        faults.add(pointer, "a parameter in `querystring` describes the whole query: no other parameter may be in it")
    for name in sorted(set(template) - set(placed)):
        faults.add(pointer, f"the path holds `{{{name}}}`, and no path parameter has that name")
    for name in sorted(set(placed) - set(template)):
        faults.add(pointer, f"the path parameter `{name}` is not in the path")


def _parameters(
    content: Any, item: Any, operation: Any, pointer: tuple[str, ...], faults: Faults
) -> Iterator[tuple[str, str]]:
    for place, owner in ((pointer[:-1], item), (pointer, operation)):
        seen: set[tuple[str, str]] = set()
        for index, node in enumerate(owner.get("parameters") or ()):
            try:
                parameter = deref(content, node)
            except KeyError:
                faults.add((*place, "parameters", str(index)), "the reference leads nowhere")
                continue
            key = parameter["name"], parameter["in"]
            if key[1] == "querystring" and [kind_of(one) for one in parameter["content"]] != [FORM]:
                faults.add((*place, "parameters", str(index)), f"in `querystring` only `{FORM}` is read")
            if key in seen:
                faults.add((*place, "parameters", str(index)), f"the parameter `{key[0]}` in {key[1]} stands twice")
            seen.add(key)
            yield key


def _check_body(content: Any, operation: Any, pointer: tuple[str, ...], faults: Faults) -> None:
    """Record the ways of writing a request body that are not read."""
    if operation.get("x-carboy-body") == "raw":
        return
    body = deref(content, operation.get("requestBody")) or {}
    for name, media in body.get("content", {}).items():
        is_unread = "itemSchema" in media and not is_json_lines(name)
        if is_unread or {"prefixEncoding", "itemEncoding"} & media.keys():
            detail = f"a body of `{name}` is not read part by part; the function can, with `x-carboy-body: raw`"
            faults.add((*pointer, "requestBody", "content", name), detail)
