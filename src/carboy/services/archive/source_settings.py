"""The table of a source of webhooks in the settings, and what can be wrong with it."""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from carboy.config import Duration, Rate
from carboy.errors import ConfigurationError, Fault
from carboy.redact import Secret
from carboy.services.archive.object_keys import SOURCE_NAME, is_source_name
from carboy.webhooks import (
    HANDSHAKES,
    OPTIONS,
    SCHEMES,
    Handshake,
    find_preset,
    handshake_faults,
    is_place,
    make_scheme,
    nearest_preset,
)

NO_SCHEME = frozenset({"key", "sns"})
"""The values of `verify` that are not a scheme of `carboy.webhooks`."""


@dataclass(frozen=True, slots=True)
class AnswerConfig:
    """The response to a webhook that was kept.

    Attributes:
        status: 200 to 299.
        body: as it is sent.
        content_type: of the body.
        echo: a header of the request that is sent back.

    In the body `{header:NAME}` is replaced by a header of the request and `{now_ms}` by the time.
    """

    status: int = 200
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"
    echo: str = ""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A table `[archive.sources.<name>]`: who may send, how that is checked, what is kept of it.

    Attributes:
        preset: the name of a sender; the keys of its preset hold where the table does not have them.
        verify: the scheme by which a request proves where it comes from; `key` is one of our own API keys.
        secrets: what the scheme checks with; several while one is being replaced.
        tokens: path tokens that let a request in at `…/webhooks/<source>/<token>`, for who can do nothing else.
        header: an option of the scheme, as are those up to `username`; see `carboy.webhooks.Signature`.
        signature: where a signature stands that is in no header.
        algorithm: the hash of signatures.
        encoding: of signatures.
        prefix: what stands before each signature.
        signature_field: the name of the signature in a header of named parts.
        timestamp_field: the name of the time in it.
        separator: what stands between its parts, or between several signatures.
        assigns: what stands between a part's name and its value.
        timestamp_header: the header of the time.
        timestamp: where a time stands that is in no header.
        template: what is signed.
        tolerance_s: how old what is signed with a time may be.
        public_url: the address that the sender was given, where a proxy changes it; it may have a path.
        secret_encoding: how the secrets are written.
        username: of `basic`.
        jwks_url: of `jwt`, where its public keys are fetched.
        issuer: of `jwt`, the issuer to insist on.
        audience: of `jwt`, the audience to insist on.
        body_claim: of `jwt`, the claim with the body's SHA-256.
        body_encoding: of `jwt`, how that is written: hex or base64.
        id: where the id is: `header:NAME`, `query:NAME` or a JSON pointer; of several places the id is all of them,
            joined by blanks. Without one it is the content's SHA-256.
        time: where the time is, likewise; without one it is the time of arrival.
        keep_headers: headers that are kept beside the bytes; `*` for all but those with secrets.
        rate: requests that are let in of this source; None for no limit of its own.
        max_body_bytes: 0 for the limit of all.
        events: `header:NAME` or a JSON pointer to the event's type; with `only`, all other types are answered 202
            and not kept.
        only: the event types to keep.
        allow: networks that may send, in CIDR notation; empty for all.
        handshake: requests of the sender that are answered and not kept; one table, or a list of them.
        handshake_secret: the second value that a handshake needs, such as Meta's verify token.
        answer: the response to a webhook that was kept, where the sender wants another than 202 with JSON.
        keep: how long events are kept, from their receipt; None means without limit.
        hold: nothing of it is deleted, whatever `keep` and `carboy archive erase` say.
        compressed: open bodies with a Content-Encoding; without it they are a 415.
        signed: what the signature of a compressed body is over: the bytes as they came (`wire`), or `opened`.
        duplicates: how long an event is remembered so that it is kept once; without limit by default.
        cloudevents: read id and type as CloudEvents in any mode, and keep each event of a batch apart.
        keep_refused: keep the bodies of refused requests beside the facts of them.
        exchange: a header in which the sender brings the secret that it signs with (Asana); it is kept encrypted.
        refused_status: the response to a webhook that proves nothing: 403, or 401 where the sender wants that.
    """

    preset: str = ""
    verify: str = "key"
    secrets: tuple[Secret, ...] = ()
    tokens: tuple[Secret, ...] = ()
    header: str = ""
    signature: str = ""
    algorithm: str = ""
    encoding: str = ""
    prefix: str = ""
    signature_field: str = ""
    timestamp_field: str = ""
    separator: str = ""
    assigns: str = ""
    timestamp_header: str = ""
    timestamp: str = ""
    template: str = ""
    tolerance_s: float | None = None
    public_url: str = ""
    secret_encoding: str = ""
    username: str = ""
    jwks_url: str = ""
    issuer: str = ""
    audience: str = ""
    body_claim: str = ""
    body_encoding: str = ""
    id: tuple[str, ...] = ()
    time: str = ""
    keep_headers: tuple[str, ...] = ("*",)
    rate: Rate | None = None
    max_body_bytes: int = 0
    events: str = ""
    only: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    handshake: Handshake | tuple[Handshake, ...] = ()
    handshake_secret: tuple[Secret, ...] = ()
    answer: AnswerConfig | None = None
    refused_status: int = 403
    keep: Duration | None = None
    hold: bool = False
    compressed: bool = False
    signed: Literal["wire", "opened"] = "wire"
    duplicates: Duration | None = None
    cloudevents: bool = False
    keep_refused: bool = False
    exchange: str = ""

    @classmethod
    def expand(cls, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a table with the keys of its preset where it has none of its own.

        A table that says another `verify` than its preset gets no option of the preset's scheme.
        """
        preset = find_preset(str(table.get("preset") or ""))
        if preset is None:
            return table
        is_other = table.get("verify", preset.keys["verify"]) != preset.keys["verify"]
        keys = {key: value for key, value in preset.keys.items() if not (is_other and key in OPTIONS)}
        return {**keys, **table}

    def faults(self, name: str) -> Iterator[Fault]:
        """Yield what is wrong with a source of this name; the pointers are its keys."""
        return source_faults(name, self)

    @property
    def handshakes(self) -> tuple[Handshake, ...]:
        """The handshakes, also those that belong to the scheme."""
        own = (self.handshake,) if isinstance(self.handshake, Handshake) else self.handshake
        return (*own, *HANDSHAKES.get(self.verify, ()))

    @property
    def options(self) -> dict[str, str]:
        """Those of the scheme that are set; `none` has none, so that a profile need only change `verify`."""
        given = {} if self.verify == "none" else {name: getattr(self, name) for name in OPTIONS}
        options = {name: str(value) for name, value in given.items() if value not in {"", None}}
        return options | ({"id": self.id[0]} if self.id and "{id}" in self.template else {})


def source_faults(name: str, source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with a source; the pointers are its keys."""
    if not is_source_name(name):
        yield Fault("", f"must be named with {SOURCE_NAME}")
    yield from _preset_faults(source)
    yield from _scheme_faults(source)
    if source.only and not source.events:
        yield Fault("only", "needs `events`: where the event's type is")
    for handshake in source.handshakes:
        yield from (Fault("handshake", detail) for detail in handshake_faults(handshake))
        if handshake.secret and not source.handshake_secret:
            yield Fault("handshake_secret", "is needed by the handshake")
    if source.answer is not None and not 200 <= source.answer.status <= 299:
        yield Fault("answer", "must have a status from 200 to 299")
    if source.refused_status not in {401, 403}:
        yield Fault("refused_status", "must be 401 or 403")
    if source.max_body_bytes < 0:
        yield Fault("max_body_bytes", "cannot be below 0")
    for key, place in (*(("id", one) for one in source.id), ("time", source.time), ("events", source.events)):
        if place and not is_place(place):
            yield Fault(key, "must be header:NAME or a JSON pointer that begins with /, or query:NAME or form:NAME")
    for network in source.allow:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield Fault("allow", f"must be networks such as 192.0.2.0/24; `{network}` is not one")


def _scheme_faults(source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with how a source is verified."""
    if source.preset and find_preset(source.preset) is None:
        return
    if source.verify in NO_SCHEME:
        yield from (Fault(key, f"is no option of {source.verify}") for key in source.options)
    elif source.verify not in SCHEMES:
        known = sorted({*SCHEMES, *NO_SCHEME})
        near = difflib.get_close_matches(source.verify, known, 1)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        yield Fault("verify", f"must be one of {', '.join(known)}{meant}")
    else:
        try:
            scheme = make_scheme(source.verify, source.options)
        except ConfigurationError as error:
            yield from error.faults
        else:
            wrong = {found for secret in source.secrets if (found := scheme.check_secret(secret.reveal()))}
            yield from (Fault("secrets", detail) for detail in sorted(wrong))
    if source.verify in NO_SCHEME and source.secrets:
        yield Fault("secrets", f"are of no use to verify = {source.verify}")
    is_kept = bool(source.exchange and source.tokens)
    if source.verify not in {*NO_SCHEME, "none"} and not (source.secrets or source.jwks_url or is_kept):
        by = f"preset = {source.preset}" if source.preset else f"verify = {source.verify}"
        yield Fault("tokens" if source.exchange else "secrets", f"are needed by {by}")


def _preset_faults(source: SourceConfig) -> Iterator[Fault]:
    """Yield what is wrong with the preset of a source."""
    if not source.preset:
        return
    preset = find_preset(source.preset)
    if preset is None:
        near = nearest_preset(source.preset)
        meant = f"did you mean `{near}`?" if near else "`carboy archive senders` lists those that are known"
        yield Fault("preset", f"is unknown: `{source.preset}`; {meant}")
    elif preset.needs == "tokens" and source.verify == "key" and not source.tokens:
        yield Fault("tokens", f"are needed by preset = {source.preset}: the address alone proves {preset.title}")
