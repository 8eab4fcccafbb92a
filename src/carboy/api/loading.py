"""Load a document, and cache the result on disk for the next start.

The copy lies in a cache folder, or in `__pycache__` beside the document, where `carboy build` puts it.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from carboy import __version__
from carboy.api.document_errors import unserved
from carboy.api.model import Document, Origin
from carboy.private_folders import make_private_folder

_CACHE_FORMAT = 2


def load_document(
    source: str | os.PathLike[str] | Mapping[str, Any], *, cache_dir: str | Path | None = None
) -> Document:
    """Load an OpenAPI 3.0, 3.1 or 3.2 or a Swagger 2.0 document, and everything it refers to in other files.

    Args:
        source: the path of a YAML or JSON file, or the document itself.
        cache_dir: a folder that caches the result for the next start. Only those who may change the program's code may
            write to it. A broken entry is replaced; a folder that cannot be written is ignored.

    Raises:
        ConfigurationError: the document is not well formed; every fault with its file, line and pointer.
    """
    if isinstance(source, Mapping):
        return _read(dict(source), "")[0]
    file = os.fspath(source)
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise unserved(file, f"it cannot be read ({type(error).__name__})", "name a file that exists") from error
    name = _name_of_copy(data)
    entries = [Path(file).parent / "__pycache__" / name, *([] if cache_dir is None else [Path(cache_dir, name)])]
    for entry in entries:
        document = _from_cache(entry, file)
        if document is not None:
            return document
    document, texts = _read(data, file)
    if cache_dir is not None:
        with suppress(OSError, TypeError):
            _to_cache(Path(cache_dir, name), _copy_of(document, file, texts))
    return document


def prepare_document(file: Path) -> tuple[str, bytes]:
    """Make the cached copy of a document, which `load_document` reads in its place.

    Returns:
        Its path, relative to the document's folder, and its bytes. It is used until the document, or one that it
        refers to, changes.

    Raises:
        ConfigurationError: the document is not well formed.
        OSError: it cannot be read.
        TypeError: it holds what JSON does not have, such as an integer beyond 64 bits.
    """
    data, name = file.read_bytes(), str(file)
    document, texts = _read(data, name)
    return f"__pycache__/{_name_of_copy(data)}", _copy_of(document, name, texts)


def _read(source: bytes | dict[str, Any], file: str) -> tuple[Document, dict[str, bytes]]:
    from carboy.api.sources import read_document  # heavy: not for a start that finds a cached copy

    return read_document(source, file)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _name_of_copy(data: bytes) -> str:
    key = _digest(f"{__version__} {_CACHE_FORMAT} ".encode() + data)
    return f"openapi-{key}.json"


def _from_cache(entry: Path, file: str) -> Document | None:
    """Return the cached document, unless the copy is broken or one of its other files has changed."""
    folder = os.path.dirname(file)
    try:
        kept = orjson.loads(entry.read_bytes())
        for name, digest in kept["others"].items():
            if _digest(Path(folder, name).read_bytes()) != digest:
                return None
        origins = {
            tuple(pointer): Origin(os.path.join(folder, name) if name else file, tuple(place))
            for pointer, name, place in kept["origins"]
        }
        content = kept["content"]
        return Document(content, file, origins) if content["openapi"] and content["info"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _copy_of(document: Document, file: str, texts: Mapping[str, bytes]) -> bytes:
    folder = os.path.dirname(file)
    relative = {name: os.path.relpath(name, folder or ".") for name in texts if name != file}
    kept = {
        "others": {relative[name]: _digest(texts[name]) for name in relative},
        "origins": [
            (pointer, relative.get(origin.file, ""), origin.pointer) for pointer, origin in document.origins.items()
        ],
        "content": document.content,
    }
    return orjson.dumps(kept)


def _to_cache(entry: Path, copy: bytes) -> None:
    make_private_folder(entry.parent)
    handle, draft = tempfile.mkstemp(dir=entry.parent, prefix=entry.stem)
    with os.fdopen(handle, "wb") as file:
        file.write(copy)
    os.replace(draft, entry)
