"""Load public keys as consoles of senders show them, and verify signatures with them."""

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal

from carboy.extras import extra
from carboy.webhooks.verification import decode_secret

KeyKind = Literal["ed25519", "ecdsa", "rsa"]


@lru_cache(maxsize=256)
def load_public_key(text: str, kind: KeyKind) -> Any:
    """Return the public key in a text: PEM (a key or a certificate), DER or a bare key in base64 or hex.

    Raises:
        ValueError: it is no public key of that kind; the message says why and shows nothing of it.
    """
    with extra("archive"):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.x509 import load_pem_x509_certificate

    try:
        if "-----BEGIN CERTIFICATE" in text:
            key: Any = load_pem_x509_certificate(text.encode()).public_key()
        elif "-----BEGIN" in text:
            key = serialization.load_pem_public_key(text.encode())
        else:
            compact = "".join(text.split())
            data = decode_secret(compact, "hex") or decode_secret(compact, "base64")
            if len(data) == 32 and kind == "ed25519":
                key = ed25519.Ed25519PublicKey.from_public_bytes(data)
            elif data[:1] in {b"\x02", b"\x03", b"\x04"} and kind == "ecdsa":
                key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
            else:
                key = serialization.load_der_public_key(data)
    except Exception as error:  # cryptography has errors of its own for keys that it does not know
        raise ValueError(f"must be a public key for {kind}: PEM, or base64 or hex of DER or of the key") from error
    kinds = {"ed25519": ed25519.Ed25519PublicKey, "ecdsa": ec.EllipticCurvePublicKey, "rsa": rsa.RSAPublicKey}
    if not isinstance(key, kinds[kind]):
        raise ValueError(f"must be a public key for {kind}, and is one of another kind")
    return key


def check_public_key(text: str, kind: KeyKind) -> str:
    """Return what is wrong with a public key; empty where nothing is."""
    try:
        load_public_key(text, kind)
    except ValueError as error:
        return str(error)
    return ""


def public_keys_of(secrets: Iterable[str], kind: KeyKind) -> list[Any]:
    """Return the public keys in secrets, without what is not a public key."""
    keys = []
    for secret in secrets:
        with suppress(ValueError):
            keys.append(load_public_key(secret, kind))
    return keys


def is_signed_by(key: Any, signature: bytes, signed: bytes, algorithm: str) -> bool:
    """Return whether a key signed these bytes.

    Args:
        key: what `load_public_key` returned; for RSA the padding is PKCS #1 v1.5.
        signature: for ECDSA in DER, or r and s side by side.
        signed: what was signed.
        algorithm: the hash, such as `sha256`; Ed25519 has its own.
    """
    known = _primitives()
    try:
        if isinstance(key, known.RSAPublicKey):
            key.verify(signature, signed, known.PKCS1v15(), known.hash(algorithm))
        elif isinstance(key, known.EllipticCurvePublicKey):
            half = (key.key_size + 7) // 8
            if len(signature) == 2 * half and not (signature[0] == 0x30 and signature[1] == len(signature) - 2):
                r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
                signature = known.encode_dss_signature(r, s)
            key.verify(signature, signed, known.ECDSA(known.hash(algorithm)))
        else:
            key.verify(signature, signed)
    except known.errors:
        return False
    return True


@lru_cache(maxsize=1)
def _primitives() -> Any:
    """Return what verifies, imported once: an import statement in each call costs more than the rest of it."""
    with extra("archive"):
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

    return SimpleNamespace(
        RSAPublicKey=rsa.RSAPublicKey,
        EllipticCurvePublicKey=ec.EllipticCurvePublicKey,
        ECDSA=ec.ECDSA,
        PKCS1v15=padding.PKCS1v15,
        encode_dss_signature=utils.encode_dss_signature,
        hash=lambda name: getattr(hashes, name.upper())(),
        errors=(InvalidSignature, UnsupportedAlgorithm, ValueError),
    )
