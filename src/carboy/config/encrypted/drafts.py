"""Local state between two commands: sealed drafts of interrupted edits, and marks of the last export.

No secret is in plain text: a draft opens only with the keys of all its stages, a mark is a slow salted hash of the
whole decrypted form.
"""

import hashlib
import hmac
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carboy.config.encrypted.decrypt import Opened
from carboy.config.encrypted.file import write_private
from carboy.config.encrypted.key_paths import length_prefixed
from carboy.config.encrypted.keyring import Keyring, in_parallel
from carboy.config.encrypted.sealed import DoesNotOpen, derive, expand, open_blob, seal_blob
from carboy.errors import CarboyError

_MARKS = 4  # open forms remembered for one file: YAML and JSON, before and after


@dataclass(frozen=True, slots=True)
class DraftKey:
    """A key that only a user with access to every stage can derive.

    Attributes:
        secret: 32 bytes.
        parts: the commitments and encrypted data keys that lead to it again.
    """

    secret: bytes = field(repr=False)
    parts: dict[str, str]


def make_draft_key(opened: Opened, keyring: Keyring, parts: Mapping[str, str] | None = None) -> DraftKey | None:
    """Return the key for a draft of a file; None where no stage has a key, or KMS gives none.

    Sealed stages lend their data keys; for Fleece's form KMS makes one for each stage.

    Args:
        opened: the file, open.
        keyring: gives the keys.
        parts: those of a draft that is opened again; None for a new one.
    """
    config = opened.config
    names = sorted({secret.stage.name for secret in opened.secrets.values()} | set(config.seals))
    if not names or (parts is not None and sorted(parts) != names):
        return None

    def part(name: str) -> tuple[bytes, str]:
        stage = config.stages[name]
        if name in config.seals:
            key = keyring.open(stage, config.seals[name])
            return key.for_drafts, key.kid
        context = keyring.context(name, "draft/2")
        if parts is not None:
            plain, _ = keyring.service(stage).decrypt(b64decode(parts[name]), stage.key_id, context)
            return derive(name, plain).for_drafts, parts[name]
        plain, data, _ = keyring.service(stage).generate_data_key(stage.key_id, context)
        return derive(name, plain).for_drafts, b64encode(data).decode()

    try:
        found = dict(zip(names, in_parallel(part, names), strict=True))
    except (CarboyError, ValueError):
        return None
    made = {name: shown for name, (_, shown) in found.items()}
    if parts is not None and made != dict(parts):
        return None
    return DraftKey(expand(length_prefixed(*(secret for secret, _ in found.values())), b"draft/2"), made)


class Drawer:
    """The local state of one encrypted file.

    Args:
        folder: the cache folder; None to keep nothing.
        path: the closed file.
    """

    def __init__(self, folder: Path | None, path: Path) -> None:
        name = hashlib.sha256(os.path.realpath(path).encode(errors="surrogateescape")).hexdigest()
        self._draft = folder / "drafts" / f"{name}.json" if folder else None
        self._marks = folder / "marks" / f"{name}.json" if folder else None

    # Drafts

    def draft_parts(self) -> dict[str, str] | None:
        """Return what leads to the key of the kept draft; None without a draft."""
        found = _read(self._draft)
        parts = found.get("parts")
        return parts if isinstance(parts, dict) and isinstance(found.get("blob"), str) else None

    def open_draft(self, key: DraftKey | None) -> str | None:
        """Return the draft's text; None when the key does not open it (the file has new keys)."""
        try:
            blob = b64decode(_read(self._draft)["blob"])
            return open_blob(key.secret, blob, b"draft/2").decode() if key else None
        except (DoesNotOpen, KeyError, TypeError, ValueError):
            return None

    def keep_draft(self, key: DraftKey | None, text: str) -> bool:
        """Keep a text, sealed; return whether that was possible."""
        if key is None or self._draft is None:
            return False
        blob = b64encode(seal_blob(key.secret, text.encode(errors="surrogatepass"), b"draft/2")).decode()
        try:
            write_private(self._draft, json.dumps({"parts": key.parts, "blob": blob}).encode())
        except OSError:
            return False
        return True

    def drop_draft(self) -> None:
        """Delete the draft."""
        if self._draft:
            with suppress(OSError):
                self._draft.unlink(missing_ok=True)

    # Marks

    def mark(self, closed: bytes, text: str) -> None:
        """Record that an encrypted file and a decrypted text are equal."""
        found = _read(self._marks)
        digest = hashlib.sha256(closed).hexdigest()
        marks = found.get("marks", []) if found.get("closed") == digest else []
        salt = os.urandom(16).hex()
        marks = [*marks, [salt, _slow_hash(salt, digest, text)]][-_MARKS:]
        if self._marks:
            with suppress(OSError):
                write_private(self._marks, json.dumps({"closed": digest, "marks": marks}).encode())

    def is_marked(self, closed: bytes, text: str) -> bool:
        """Return whether the encrypted file and the decrypted text are known to be equal."""
        found = _read(self._marks)
        digest = hashlib.sha256(closed).hexdigest()
        if found.get("closed") != digest:
            return False
        try:
            return any(hmac.compare_digest(_slow_hash(salt, digest, text), made) for salt, made in found["marks"])
        except (KeyError, TypeError, ValueError):
            return False


def _slow_hash(salt: str, closed: str, text: str) -> str:
    plain = length_prefixed(closed.encode(), text.encode(errors="surrogatepass"))
    return hashlib.scrypt(plain, salt=salt.encode(), n=2**14, r=8, p=1, dklen=32).hex()


def _read(path: Path | None) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
