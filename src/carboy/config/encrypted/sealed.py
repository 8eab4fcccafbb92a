"""Seal one value so that it opens only at its own place, under its own stage's data key.

AES-256-GCM; the additional data bind the format, the stage, the key and the typed path. The value is its JSON,
filled up with spaces to whole 16 bytes, so that its type survives and its length hides.

Source: NIST SP 800-38D (GCM), RFC 5869 (HKDF), RFC 2104 (HMAC).
"""

import hashlib
import hmac
import json
import os
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carboy.config.encrypted.key_paths import Path, encode, length_prefixed
from carboy.config.encrypted.structure import SEALED
from carboy.extras import extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = b"sealed/2"
_NONCE_BYTES = 12
_PAD_BYTES = 16


class DoesNotOpen(Exception):
    """A value is not what was sealed with this key at this place."""


@dataclass(frozen=True, slots=True)
class StageKey:
    """What a stage's data key becomes: one key for each purpose, and a commitment to it."""

    stage: str
    kid: str
    cipher: "AESGCM" = field(repr=False)
    for_mac: bytes = field(repr=False)
    for_drafts: bytes = field(repr=False)


def derive(stage: str, data_key: bytes) -> StageKey:
    """Return the keys of a stage from its data key (32 bytes), by HKDF-SHA256."""
    with extra("config"):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    sub = [
        expand(data_key, length_prefixed(FORMAT, use, stage.encode())) for use in (b"value", b"mac", b"kid", b"draft")
    ]
    return StageKey(stage, urlsafe_b64encode(sub[2][:15]).decode(), AESGCM(sub[0]), sub[1], sub[3])


def expand(key: bytes, purpose: bytes) -> bytes:
    """Return 32 bytes for one purpose from a key that is random already."""
    with extra("config"):
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
    return HKDFExpand(SHA256(), 32, purpose).derive(key)


def _bound_to(key: StageKey, path: Path) -> bytes:
    return length_prefixed(FORMAT, key.stage.encode(), key.kid.encode(), encode(path))


def seal(key: StageKey, path: Path, value: object) -> str:
    """Return the text that keeps a value at a path."""
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    plain += b" " * (-len(plain) % _PAD_BYTES)
    nonce = os.urandom(_NONCE_BYTES)
    return SEALED + b64encode(nonce + key.cipher.encrypt(nonce, plain, _bound_to(key, path))).decode()


def unseal(key: StageKey, path: Path, text: str) -> object:
    """Return the value that a text keeps at a path.

    Raises:
        DoesNotOpen: another key sealed it, or for another place, or it was changed.
    """
    from cryptography.exceptions import InvalidTag

    try:
        blob = b64decode(text[len(SEALED) :], validate=True)
        return json.loads(key.cipher.decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], _bound_to(key, path)))
    except (InvalidTag, ValueError):
        raise DoesNotOpen from None


def mac_of(key: StageKey, kms: str, texts: Iterable[tuple[Path, str]]) -> str:
    """Return the MAC of a stage: that these values and no others are sealed with its key.

    The pairs are sorted, so that the order in the file is free.
    """
    pairs = sorted(length_prefixed(encode(path), text.encode()) for path, text in texts)
    header = length_prefixed(FORMAT, b"mac", key.stage.encode(), key.kid.encode(), kms.encode())
    return hmac.new(key.for_mac, header + length_prefixed(*pairs), hashlib.sha256).hexdigest()


def seal_blob(secret: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Return bytes sealed under a 32-byte key."""
    with extra("config"):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(secret).encrypt(nonce, plain, bound_to)


def open_blob(secret: bytes, blob: bytes, bound_to: bytes) -> bytes:
    """Return what `seal_blob` sealed.

    Raises:
        DoesNotOpen: another key, another place, or changed bytes.
    """
    with extra("config"):
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    try:
        return AESGCM(secret).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise DoesNotOpen from None
