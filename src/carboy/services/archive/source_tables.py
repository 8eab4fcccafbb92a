"""Write the table of a new source, and make a sample event of one that there is."""

import os
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from carboy.api import RawRequest
from carboy.config import parse_reference
from carboy.errors import Fault, InvalidInput, UsageError
from carboy.http_values import parse_pointer
from carboy.services.archive.object_keys import SOURCE_NAME, is_source_name
from carboy.services.archive.sources import WebhookSource
from carboy.webhooks import OPTIONS, Preset, make_scheme, put_at, sign_sample

PLACEHOLDER = "YOUR-HOST"
"""What stands in an address whose host is not known yet."""

_PATH = "/api/v1/webhooks/"
_URL = re.compile(r"https?://[^/?#@\s]+(?:/[^?#\s]*)?")
_SECRETS = "instance/webhook-secrets"


@dataclass(frozen=True, slots=True)
class NewSource:
    """A source to be added, and what a person enters at the sender.

    Attributes:
        name: of the source.
        keys: of its table.
        files: texts of secret files, by path.
        address: to enter at the sender.
        secret: to enter there as well; empty where the sender makes it.
        handshake_secret: likewise, such as Meta's verify token.
        missing: the file that the sender's secret must be written to; None where nothing is missing.
    """

    name: str
    keys: Mapping[str, Any]
    files: Mapping[Path, str]
    address: str
    secret: str
    handshake_secret: str
    missing: Path | None


def plan_source(name: str, preset: Preset, *, root: Path, url: str, secret: str = "", reference: str = "") -> NewSource:
    """Return the table of a source of a preset, with a random secret or path token where a person makes it.

    Args:
        name: of the source, as in the path.
        preset: of its sender.
        root: the project's folder; secret files are written below its instance folder.
        url: the public address of this service, scheme and host.
        secret: the sender's; empty where it is not known yet.
        reference: a reference to it, such as `aws-secretsmanager:/prod/github#webhook`; nothing is written then.

    Raises:
        InvalidInput: the name, the address, the secret or the reference is not valid; all of them that are not.
    """
    if faults := list(_faults(name, preset, url, secret, reference)):
        why = "; ".join(f"{fault.pointer} {fault.detail}" for fault in faults)
        raise InvalidInput("the source was not added", why, "nothing was written", faults)
    keys: dict[str, Any] = {"preset": preset.name}
    if preset.signs_address and PLACEHOLDER not in url:
        keys["public_url"] = url.rstrip("/")
    files: dict[Path, str] = {}
    address, made, handshake_secret = f"{url.rstrip('/')}{_PATH}{name}", "", ""

    def kept(key: str, text: str) -> None:
        path = f"{_SECRETS}/{name}-{key}"
        files[root / path] = text
        keys[f"{key}s" if key != "handshake_secret" else key] = [f"file:{path}"]

    missing = None
    if preset.needs == "tokens":
        token = secrets.token_urlsafe(32)
        kept("token", token)
        address += f"/{token}"
    elif preset.needs == "audience":
        keys["audience"] = address
    elif preset.needs == "secrets" and reference:
        keys["secrets"] = [reference]
    elif preset.needs == "secrets":
        made = secrets.token_urlsafe(32) if preset.secret == "you" and not secret else ""  # noqa: S105
        kept("secret", secret or made)
        missing = None if secret or made else root / _SECRETS / f"{name}-secret"
    if "secret" in preset.keys.get("handshake", {}):
        handshake_secret = secrets.token_urlsafe(24)
        kept("handshake_secret", handshake_secret)
    return NewSource(name, keys, files, address, made, handshake_secret, missing)


def _faults(name: str, preset: Preset, url: str, secret: str, reference: str) -> Iterator[Fault]:
    """Yield what is wrong with a source that is to be added: it would stop the next start."""
    if not is_source_name(name):
        yield Fault("name", f"must be {SOURCE_NAME}")
    if not _URL.fullmatch(url):
        yield Fault("url", "must be https://host, with a path where a proxy hides it")
    if reference and parse_reference(reference) is None:
        detail = (
            "must be aws-secretsmanager:NAME#FIELD, aws-parameterstore:NAME or file:PATH, and not the secret itself"
        )
        yield Fault("reference", detail)
    if (secret or reference) and preset.needs != "secrets":
        yield Fault("secret", f"is of no use to {preset.title}: a source of it needs {preset.needs}")
    elif secret and reference:
        yield Fault("secret", "is given twice: as it is, and as a reference")
    elif secret:
        options = {key: str(value) for key, value in preset.keys.items() if key in OPTIONS}
        if detail := make_scheme(preset.keys["verify"], options).check_secret(secret):
            yield Fault("secret", detail)


def add_source(toml: Path, new: NewSource) -> None:
    """Add the table at the end of `carboy.toml`, whose other lines stay as they are, and write its secret files.

    Raises:
        InvalidInput: there is a source of that name, or the file cannot have the table at its end.
    """
    before = toml.read_bytes().decode() if toml.exists() else ""
    known = tomllib.loads(before).get("default", {}).get("archive", {}).get("sources", {})
    if new.name in known:
        raise InvalidInput("the source was not added", f"`{new.name}` is there already", "choose another name")
    lines = [f"[default.archive.sources.{new.name}]", *(f"{key} = {_toml(value)}" for key, value in new.keys.items())]
    end = "\r\n" if "\r\n" in before else "\n"
    joint = "" if not before else end if before.endswith("\n") else end * 2
    after = before + joint + end.join(lines) + end
    try:
        tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        why = f"`{toml}` has its sources in a form that no table can follow"
        raise InvalidInput("the source was not added", why, "write them as [default.archive.sources.<name>]") from error
    for path, text in new.files.items():
        if text:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path, text, 0o600)
    _write(toml.resolve(), after, toml.stat().st_mode & 0o777 if toml.exists() else 0o644)


def sample_request(source: WebhookSource, url: str, now_ms: int) -> RawRequest:
    """Return a sample event of a source, signed with its own secret.

    Args:
        source: as the settings have it.
        url: where the service answers, scheme and host.
        now_ms: the time to sign.

    Raises:
        UsageError: only the sender can sign it.
    """
    address = f"{url.rstrip('/')}{_PATH}{quote(source.name)}"
    event: dict[str, Any] = {"test": True, "sent_by": "carboy archive source test", "at_ms": now_ms}  # each is new
    headers = {"content-type": "application/json"}
    for place in source.config.id:
        kind, _, key = place.partition(":")
        if kind == "header":
            headers[key.strip().lower()] = f"carboy-test-{now_ms}"
        elif place.startswith("/"):
            event = put_at(event, parse_pointer(place), f"carboy-test-{now_ms}")
    request = RawRequest("POST", address, headers, orjson.dumps(event))
    if source.config.verify == "sns":
        hint = "aws sns publish --topic-arn … --message '{}'"
        raise UsageError("a sample cannot be signed here", "only Amazon SNS can sign one of its messages", hint)
    if source.scheme is None:
        if not source.config.tokens:
            why = f"verify = {source.config.verify} needs a key"
            raise UsageError("a sample cannot be signed here", why, "post with a key of scope archive:write")
        token = quote(source.config.tokens[0].reveal(), safe="")
        return RawRequest("POST", f"{address}/{token}", headers, request.body)
    if not source.secrets and source.config.verify != "none":
        raise UsageError("a sample cannot be signed here", "the source has no secret of its own", "give it `secrets`")
    return sign_sample(source.scheme, request, next(iter(source.secrets), ""), now_ms // 1000)


def _toml(value: Any) -> str:
    return orjson.dumps(value).decode()  # JSON's strings and arrays of them are TOML's too


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
