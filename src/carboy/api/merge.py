"""Join several documents into one, to be read by people and tools in one place."""

from collections.abc import Mapping, Sequence
from typing import Any

from carboy.api.document_errors import Faults
from carboy.api.model import Document
from carboy.api.routing import base_path_of
from carboy.api.walk import operations_of


def merge(
    documents: Sequence[Document | Mapping[str, Any]],
    *,
    info: Mapping[str, Any],
    servers: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return one document that holds the paths of all, each behind the base path of the document it is from.

    Components of the same name and the same content are kept once. Where the content differs, the later one is renamed
    to `Name_2`, and what refers to it follows. A document's own `security` is written into its operations.

    Args:
        documents: loaded documents, or their contents.
        info: the info object of the whole.
        servers: the servers of the whole; by default its own root.

    Raises:
        ConfigurationError: two documents hold the same path, or the same operationId.
    """
    faults = Faults(str(info.get("title", "merged")), {})
    contents = [one.content if isinstance(one, Document) else one for one in documents]
    version = max((str(content["openapi"]) for content in contents), default="3.1.1")
    result: dict[str, Any] = {
        "openapi": version,
        "info": dict(info),
        "servers": [dict(server) for server in servers or [{"url": "/"}]],
        "paths": {},
        "components": {},
    }
    tags: dict[str, Any] = {}
    ids: set[str] = set()
    for content in contents:
        renamed = _join_components(result["components"], content.get("components", {}))
        base = base_path_of(content).rstrip("/")
        for tag in content.get("tags", ()):
            tags.setdefault(tag["name"], tag)
        for path, item in content.get("paths", {}).items():
            if base + path in result["paths"]:
                faults.add(("paths", base + path), "two documents hold this path")
            result["paths"][base + path] = _operations(
                _follow(item, renamed), content, renamed, ids, base + path, faults
            )
    faults.stop_if_any()
    if tags:
        result["tags"] = list(tags.values())
    return result


def _join_components(whole: dict[str, Any], part: Mapping[str, Any]) -> dict[str, str]:
    """Add the components of one document; return the references that must change."""
    sections = {section: components for section, components in part.items() if not section.startswith("x-")}
    renamed: dict[str, str] = {}
    count = -1
    while count != len(renamed):  # what refers to a renamed one differs too
        count = len(renamed)
        for section, components in sections.items():
            for name, component in components.items():
                new = _free_name(name, _follow(component, renamed), whole.get(section, {}), components)
                if new != name:
                    renamed[f"#/components/{section}/{name}"] = f"#/components/{section}/{new}"
    for section, components in sections.items():
        target = whole.setdefault(section, {})
        for name, component in components.items():
            new = str(renamed.get(f"#/components/{section}/{name}", name)).rsplit("/", 1)[-1]
            target[new] = _follow(component, renamed)
    return renamed


def _free_name(name: str, component: Any, taken: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Return the name itself, or the first numbered one, that is free or means the same."""
    new, count = name, 2
    while (new in taken and taken[new] != component) or (new != name and new in own):
        new, count = f"{name}_{count}", count + 1
    return new


def _follow(node: Any, renamed: Mapping[str, str]) -> Any:
    """Copy a node with its references put right, also those of a discriminator."""
    if not renamed:
        return node
    if isinstance(node, list):
        return [_follow(item, renamed) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _follow(value, renamed) for key, value in node.items()}
    if isinstance(node.get("$ref"), str):
        result["$ref"] = _renamed(node["$ref"], renamed)
    discriminator = node.get("discriminator")
    if isinstance(discriminator, dict) and isinstance(discriminator.get("mapping"), dict):
        mapping = {key: _renamed(value, renamed) for key, value in discriminator["mapping"].items()}
        result["discriminator"] = {**discriminator, "mapping": mapping}
    return result


def _renamed(reference: str, renamed: Mapping[str, str]) -> str:
    head = "/".join(reference.split("/")[:4])
    return renamed.get(head, head) + reference[len(head) :]


def _operations(
    item: Mapping[str, Any],
    content: Mapping[str, Any],
    renamed: Mapping[str, str],
    ids: set[str],
    path: str,
    faults: Faults,
) -> dict[str, Any]:
    result = dict(item)
    for below, _, node in operations_of(item):
        operation = dict(node)
        if len(below) > 1:
            result[below[0]] = {**result[below[0]], below[1]: operation}
        else:
            result[below[0]] = operation  # pyright: ignore[reportGeneralTypeIssues]
        security = operation.get("security", content.get("security"))
        if security is not None:
            operation["security"] = [
                {_scheme(name, renamed): scopes for name, scopes in one.items()} for one in security
            ]
        operation_id = operation.get("operationId")
        if operation_id in ids:
            faults.add(("paths", path, *below, "operationId"), f"two documents hold the operationId `{operation_id}`")
        if operation_id:
            ids.add(operation_id)
    return result


def _scheme(name: str, renamed: Mapping[str, str]) -> str:
    return renamed.get(f"#/components/securitySchemes/{name}", name).rsplit("/", 1)[-1]
