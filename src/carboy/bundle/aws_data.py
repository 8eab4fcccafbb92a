"""Make botocore's data quicker to read: what only its documentation shows is left out, and it is not packed twice.

botocore parses a service's data when a client of it is first made, and the endpoints of all services with the first
client: together a sixth of the time from start to first answer. What calls do is the same without the texts that
`help()` prints, and without the endpoints of services whose data is not there.
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from carboy.bundle.options import Chosen, Entry

_MODEL = "service-2.json"
_PACKED = ".gz"
_DOCUMENTED = ("operations", "shapes")  # elsewhere botocore counts on the texts to be there


def slim(chosen: Chosen) -> Chosen:
    """Return the files of a zip with botocore's data in its short form; a file in a form that is not known stays."""
    prefixes: set[str] = set()
    slimmed: Chosen = []
    endpoints = None
    for file, entry in chosen:
        parts = _parts_in_data(entry)
        if parts == ("endpoints.json",):
            endpoints = file, entry
            continue
        document = _read(file) if len(parts) == 3 and parts[-1].removesuffix(_PACKED).endswith(".json") else None
        if not isinstance(document, dict):
            slimmed.append((file, entry))
            continue
        if parts[-1].startswith(_MODEL):
            metadata = document.get("metadata", {})
            prefixes |= {parts[0], metadata.get("endpointPrefix", parts[0])}
            document.pop("documentation", None)
            document |= {part: _without_documentation(document[part]) for part in _DOCUMENTED if part in document}
        slimmed.append(_written(document, entry))
    if endpoints is not None:
        slimmed.append(_slim_endpoints(*endpoints, prefixes))
    return slimmed


def _parts_in_data(entry: Entry) -> tuple[str, ...]:
    """Return the path of a file below `botocore/data`, such as `s3/2006-03-01/service-2.json.gz`; empty elsewhere."""
    _, below, path = f"/{entry.path}".rpartition("/botocore/data/")
    return PurePosixPath(path).parts if below else ()


def _read(file: Path | bytes) -> Any:
    data = file if isinstance(file, bytes) else file.read_bytes()
    try:
        return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, OSError, EOFError):
        return None


def _written(document: dict[str, Any], entry: Entry) -> tuple[bytes, Entry]:
    data = json.dumps(document, separators=(",", ":")).encode()
    return data, replace(entry, path=entry.path.removesuffix(_PACKED), size_bytes=len(data))


def _without_documentation(node: Any) -> Any:
    """Return a part of a model without its texts; a member that has the name `documentation` is no text, and stays."""
    if isinstance(node, dict):
        return {
            key: _without_documentation(value)
            for key, value in node.items()
            if not (key == "documentation" and isinstance(value, str))
        }
    return [_without_documentation(item) for item in node] if isinstance(node, list) else node


def _slim_endpoints(file: Path | bytes, entry: Entry, prefixes: Iterable[str]) -> tuple[Path | bytes, Entry]:
    document = _read(file)
    partitions: Sequence[dict[str, Any]] = document.get("partitions", ()) if isinstance(document, dict) else ()
    if not partitions:
        return file, entry
    kept = tuple(sorted(prefixes))
    relatives = tuple(f"{prefix}-" for prefix in kept)  # `s3-outposts` is reached through `s3`
    for partition in partitions:
        partition["services"] = {
            name: service
            for name, service in partition.get("services", {}).items()
            if name in kept or name.startswith(relatives)
        }
    return _written(document, entry)
