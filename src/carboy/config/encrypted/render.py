"""Write what a stage sees: dotenv lines, encrypted buffers, a Python module that decrypts itself."""

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carboy.config.encrypted.keyring import MAX_PLAIN_BYTES, KeyService, in_parallel
from carboy.config.encrypted.yaml_edit import dump_json
from carboy.errors import ConfigurationError, Fault

_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_ENV_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


def flatten(values: Mapping[Any, object], separator: str, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Give every value that is not a filled mapping, named by its keys."""
    for key, value in values.items():
        name = f"{prefix}{key if isinstance(key, str) else json.dumps(key)}"
        if isinstance(value, dict) and value:
            yield from flatten(value, separator, name + separator)
        else:
            yield name, value


def scalar_text(value: object) -> str:
    """Return a value as text: text as it is, all else as JSON (`true`, `1.5`, `[1,2]`)."""
    return value if isinstance(value, str) else dump_json(value, indent=None)


def render_env(values: Mapping[Any, object]) -> str:
    """Return `NAME=value` lines: names in upper case, nested keys joined by `_`, lists as JSON, null as nothing.

    Raises:
        ConfigurationError: a key cannot be a name, or two become the same.
    """
    lines: dict[str, str] = {}
    faults = []
    for key, value in flatten(values, "_"):
        name = key.upper()
        if not _ENV_NAME.fullmatch(name):
            faults.append(Fault(key, "cannot be the name of an environment variable"))
        elif name in lines:
            faults.append(Fault(key, f"becomes `{name}`, as another key does"))
        else:
            text = "" if value is None else scalar_text(value)
            if "\0" in text:
                faults.append(Fault(key, "has a NUL character, which no environment can hold"))
            lines[name] = f"{name}={_quote_env(text)}\n"
    if faults:
        raise ConfigurationError(
            "the stage cannot be written as dotenv",
            "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults),
            "rename the keys: letters, digits and `_`",
            faults,
        )
    return "".join(lines.values())


def _quote_env(text: str) -> str:
    if text and _ENV_BARE.fullmatch(text):
        return text
    if not re.search(r"['\\\n\r]", text):
        return f"'{text}'"
    escaped = re.sub(r'["\\$]', lambda found: "\\" + found[0], text)
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


# Encrypted


def split_text(text: str, size: int = MAX_PLAIN_BYTES) -> list[bytes]:
    """Return a text in UTF-8, in pieces of at most `size` bytes; no character is cut."""
    data, pieces, start = text.encode(), [], 0
    while start < len(data):
        end = min(start + size, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # a byte within a character
            end -= 1
        pieces.append(data[start:end])
        start = end
    return pieces


def encrypt_buffers(values: object, service: KeyService, key_id: str) -> list[str]:
    """Return the compact JSON of the values in base64 buffers of KMS, to be decrypted and joined."""
    pieces = split_text(dump_json(values, indent=None))
    return in_parallel(lambda piece: b64encode(service.encrypt(piece, key_id, {})[0]).decode(), pieces)


def render_python(values: object, service: KeyService, key_id: str, context: Mapping[str, str]) -> str:
    """Return a Python module whose `CONFIG` is decrypted when it is first read, with boto3 alone."""
    data = zlib.compress(dump_json(values, indent=None).encode(), 9)
    pieces = [data[start : start + MAX_PLAIN_BYTES] for start in range(0, len(data), MAX_PLAIN_BYTES)]
    numbered = list(enumerate(pieces, 1))
    made = in_parallel(
        lambda item: service.encrypt(item[1], key_id, {**context, "part": f"{item[0]}/{len(pieces)}"}), numbered
    )
    return _module([b64encode(blob).decode() for blob, _ in made], made[0][1], context)


def _module(buffers: Sequence[str], key: str, context: Mapping[str, str]) -> str:
    listed = "".join(f"    {buffer!r},\n" for buffer in buffers)
    region = key.split(":")[3] if key.count(":") >= 5 else None
    return _MODULE.format(listed=listed, key=key, region=region, context=dict(context))


_MODULE = '''"""Configuration that KMS decrypts when `CONFIG` is first read, by `carboy config render --python`."""

import base64
import concurrent.futures
import functools
import json
import zlib

import boto3

KEY = {key!r}
REGION = {region!r}
CONTEXT = {context!r}
ENCRYPTED_CONFIG = [
{listed}]


@functools.lru_cache(maxsize=None)
def load_config():
    """Return the configuration; AWS is asked the first time only."""
    kms = boto3.client("kms", region_name=REGION)

    def decrypt(item):
        number, buffer = item
        context = dict(CONTEXT, part="%d/%d" % (number, len(ENCRYPTED_CONFIG)))
        answer = kms.decrypt(CiphertextBlob=base64.b64decode(buffer), KeyId=KEY, EncryptionContext=context)
        return answer["Plaintext"]

    with concurrent.futures.ThreadPoolExecutor(min(16, len(ENCRYPTED_CONFIG))) as pool:
        data = b"".join(pool.map(decrypt, enumerate(ENCRYPTED_CONFIG, 1)))
    return json.loads(zlib.decompress(data))


def __getattr__(name):
    if name == "CONFIG":
        return load_config()
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
'''
