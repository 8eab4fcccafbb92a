"""Load a document: read, made one of many files, checked, translated, and kept on disk for the next start."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from carboy import __version__
from carboy.api import swagger2
from carboy.api.checks import Schemas
from carboy.api.faults import Faults, Origin, Pointer
from carboy.api.grammar import check_grammar, check_sense
from carboy.api.reading import UnreadableText, read_text
from carboy.api.references import Bundler
from carboy.api.shape import walk
from carboy.errors import ConfigurationError, Fault

__all__ = ["Document", "load_document"]

_CACHE_FORMAT = 1
_KNOWN_VERSIONS = ("3.0.", "3.1.")


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is well formed.

    Attributes:
        content: OpenAPI 3.0 or 3.1, in one piece; not to be changed.
        name: what to call it in messages: its file, or its title.
        origins: where its parts were written, by their pointer.
    """

    content: dict[str, Any]
    name: str
    origins: Mapping[Pointer, Origin] = field(repr=False)


def load_document(
    source: str | os.PathLike[str] | Mapping[str, Any], *, cache_dir: str | Path | None = None
) -> Document:
    """Load an OpenAPI 3.0 or 3.1 or a Swagger 2.0 document, and everything it refers to in other files.

    Args:
        source: the path of a YAML or JSON file, or the document itself.
        cache_dir: a folder in which to keep what was read, so that the next start need not read it again. It must be
            writable by nobody whom the program would not trust with its code. A broken entry is made anew, a folder
            that cannot be written is let be.

    Raises:
        ConfigurationError: the document is not well formed; every fault with its file, line and pointer.
    """
    if isinstance(source, Mapping):
        return _load(dict(source), "", {}, None)
    file = os.fspath(source)
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise _unreadable(
            file, f"the file cannot be read ({type(error).__name__})", "name a file that is there"
        ) from error
    entry = _entry(Path(cache_dir), data) if cache_dir is not None else None
    cached = _from_cache(entry, file) if entry is not None else None
    if cached is not None:
        return cached
    try:
        root = read_text(data)
    except UnreadableText as error:
        hint = "mend the line that is named"
        raise _unreadable(
            file, f"{file}:{error.line}: {error}", hint, [Fault("", f"{file}:{error.line}: {error}")]
        ) from error
    return _load(root, file, {file: data}, entry)


def _load(root: Any, file: str, texts: dict[str, bytes], entry: Path | None) -> Document:
    name = (
        file or str(root.get("info", {}).get("title", "") if isinstance(root.get("info"), dict) else "") or "document"
    )
    version = str(root.get("openapi", root.get("swagger", ""))) if isinstance(root, dict) else ""
    if not (version.startswith(_KNOWN_VERSIONS) or version == "2.0"):
        why = f"it says version `{version}`" if version else "it is not an object with `openapi` or `swagger`"
        raise _unreadable(name, why, "OpenAPI 3.0 and 3.1 and Swagger 2.0 are read", [Fault("", why)])
    bundler = Bundler(root, file, lambda origins: Faults(name, origins))
    content = bundler.bundle()
    check_grammar(content, bundler.faults)
    bundler.faults.stop_if_any()
    origins = bundler.origins
    if version == "2.0":
        content = swagger2.translate(content)
        origins = _renamed(origins, file)
    faults = Faults(name, origins)
    check_sense(content, faults)
    _check_schemas(content, faults)
    faults.stop_if_any()
    document = Document(content, name, origins)
    if entry is not None:
        _to_cache(entry, document, file, texts | bundler.texts)
    return document


def _renamed(origins: Mapping[Pointer, Origin], file: str) -> dict[Pointer, Origin]:
    """Follow the sections that Swagger 2.0 keeps under other names."""
    result: dict[Pointer, Origin] = {new: Origin(file, old) for new, old in swagger2.RENAMED.items()}
    back: dict[Pointer, Pointer] = {old: new for new, old in swagger2.RENAMED.items()}
    for pointer, origin in origins.items():
        result[back.get(pointer[:1], pointer[:1]) + pointer[1:]] = origin
    return result


def _check_schemas(content: dict[str, Any], faults: Faults) -> None:
    """Note each schema that is not one; what a schema holds is checked with it."""
    from jsonschema_rs import Draft202012Validator

    from carboy.api.checks import explain

    schemas = Schemas(content)
    meta = Draft202012Validator(
        {"$ref": "https://json-schema.org/draft/2020-12/schema"}, mask="this", validate_formats=True
    )
    checked: set[Pointer] = set()
    for kind, pointer, node in walk("document", content):
        if kind != "schema" or any(pointer[:length] in checked for length in range(len(pointer))):
            continue
        checked.add(pointer)
        try:
            translated = schemas.translate(node, "request")
            errors = list(meta.iter_errors(translated))
            for error in errors:
                for below, detail in explain(error):
                    if below[:1] != ("$defs",) or "$defs" in node:
                        faults.add((*pointer, *below), detail)
            if not errors:
                schemas.compile(node, "request")
        except (ValueError, KeyError, TypeError) as error:
            faults.add(pointer, f"the schema cannot be used: {error}")


def _unreadable(name: str, why: str, hint: str, faults: list[Fault] | None = None) -> ConfigurationError:
    return ConfigurationError(f"the OpenAPI document `{name}` cannot be served", why, hint, faults or [Fault("", why)])


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _entry(folder: Path, data: bytes) -> Path:
    key = _digest(f"{__version__} {_CACHE_FORMAT} ".encode() + data)
    return folder / f"openapi-{key}.json"


def _from_cache(entry: Path, file: str) -> Document | None:
    """Return what was kept, unless it is broken or another file that it was made of has changed since."""
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


def _to_cache(entry: Path, document: Document, file: str, texts: Mapping[str, bytes]) -> None:
    folder = os.path.dirname(file)
    relative = {name: os.path.relpath(name, folder or ".") for name in texts if name != file}
    kept = {
        "others": {relative[name]: _digest(texts[name]) for name in relative},
        "origins": [
            (pointer, relative.get(origin.file, ""), origin.pointer) for pointer, origin in document.origins.items()
        ],
        "content": document.content,
    }
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=entry.parent, prefix=entry.stem)
        with os.fdopen(handle, "wb") as file_:
            file_.write(orjson.dumps(kept))
        os.replace(draft, entry)
    except (OSError, TypeError):
        return
