"""The verification schemes by the names and options that settings give them."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from carboy.errors import ConfigurationError, Fault
from carboy.webhooks.jwt import BODY_ENCODINGS, JsonWebToken, KeySet
from carboy.webhooks.places import is_place
from carboy.webhooks.schemes import Basic, Bearer, Open, Twilio
from carboy.webhooks.signatures import ALGORITHMS, ENCODINGS, Signature
from carboy.webhooks.standard_webhooks import StandardWebhooks
from carboy.webhooks.templates import parse_template
from carboy.webhooks.verification import SECRET_ENCODINGS, Scheme

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, section 5.6.2
_URL = re.compile(r"https?://[^/?#@\s]+(?:/[^?#\s]*)?")
_JWKS = re.compile(r"https://[^/?#@\s]+/\S*")
_GENERAL = frozenset(field.name for field in fields(Signature)) - {"kind"}
_TIMED = frozenset({"tolerance_s"})
_JWT = frozenset(field.name for field in fields(JsonWebToken)) - {"keys"}

# What each name means, and which of its options a source may set.
SCHEMES: Mapping[str, tuple[Any, frozenset[str]]] = {
    "github": (Signature("X-Hub-Signature-256", prefix="sha256="), frozenset()),
    "slack": (
        Signature(
            "X-Slack-Signature",
            prefix="v0=",
            timestamp_header="X-Slack-Request-Timestamp",
            template="v0:{timestamp}:{body}",
        ),
        _TIMED,
    ),
    "shopify": (Signature("X-Shopify-Hmac-SHA256", encoding="base64"), frozenset()),
    "messagebird": (
        Signature(
            "MessageBird-Signature",
            encoding="base64",
            timestamp_header="MessageBird-Request-Timestamp",
            template="{timestamp}\n{url}\n{body_sha256}",
        ),
        _TIMED | {"public_url"},
    ),
    "stripe": (
        Signature(
            "Stripe-Signature", signature_field="v1", timestamp_field="t", separator=",", template="{timestamp}.{body}"
        ),
        _TIMED,
    ),
    "standard-webhooks": (StandardWebhooks(), _TIMED | {"secret_encoding"}),
    "twilio": (Twilio(), frozenset({"public_url"})),
    "hmac": (Signature(), _GENERAL),
    "ed25519": (Signature(kind="ed25519"), _GENERAL - {"algorithm", "secret_encoding"}),
    "ecdsa": (Signature(kind="ecdsa", encoding="base64"), _GENERAL - {"secret_encoding"}),
    "rsa": (Signature(kind="rsa", encoding="base64"), _GENERAL - {"secret_encoding"}),
    "jwt": (JsonWebToken(), _JWT | _TIMED),
    "bearer": (Bearer(), frozenset({"header"})),
    "basic": (Basic(), frozenset({"username"})),
    "none": (Open(), frozenset()),
}
OPTIONS = tuple(dict.fromkeys([*sorted(_GENERAL - {"id"}), *sorted(_JWT), "username"]))
"""Every option of a scheme that a source can have; `id` is the source's own."""


def _is_seconds(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _is_header(text: str) -> bool:
    return bool(_HEADER.fullmatch(text))


_PLACE = "must be header:NAME, query:NAME, form:NAME or a JSON pointer that begins with /"
_RULES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "header": (_is_header, "must be the name of a header"),
    "timestamp_header": (_is_header, "must be the name of a header"),
    "signature": (is_place, _PLACE),
    "timestamp": (is_place, _PLACE),
    "algorithm": (ALGORITHMS.__contains__, f"must be one of {', '.join(ALGORITHMS)}"),
    "encoding": (ENCODINGS.__contains__, f"must be one of {', '.join(ENCODINGS)}"),
    "body_encoding": (BODY_ENCODINGS.__contains__, f"must be one of {', '.join(BODY_ENCODINGS)}"),
    "jwks_url": (lambda text: bool(_JWKS.fullmatch(text)), "must be https://host/path"),
    "secret_encoding": (SECRET_ENCODINGS.__contains__, f"must be one of {', '.join(SECRET_ENCODINGS)}"),
    "tolerance_s": (_is_seconds, "must be a number of seconds above 0"),
    "public_url": (lambda text: bool(_URL.fullmatch(text)), "must be https://host, with a path where a proxy hides it"),
}


def make_scheme(name: str, options: Mapping[str, str]) -> Scheme:
    """Return the scheme of a source.

    Args:
        name: what `verify` says, one of `SCHEMES`.
        options: the source's settings for that scheme; the general ones need `header` or `signature`.

    Raises:
        ConfigurationError: the name or an option is unknown, missing or wrong; all that is.
    """
    if name not in SCHEMES:
        raise _wrong([Fault("verify", f"must be one of {', '.join(SCHEMES)}")])
    preset, settable = SCHEMES[name]
    faults = [Fault(key, f"is no option of {name}") for key in options if key not in settable and key != "id"]
    faults += [
        Fault(key, _RULES[key][1])
        for key, text in options.items()
        if key in settable and key in _RULES and not _RULES[key][0](text)
    ]
    given: dict[str, Any] = {key: text for key, text in options.items() if key in settable}
    if "tolerance_s" in given and not faults:
        given["tolerance_s"] = float(given["tolerance_s"])
    made: Scheme = replace(preset, **given)
    if isinstance(made, Signature):
        faults += _signature_faults(made)
    if isinstance(made, JsonWebToken):
        faults += _token_faults(made)
        made = replace(made, keys=KeySet(made.jwks_url)) if made.jwks_url else made
    if faults:
        raise _wrong(faults)
    return made


def _signature_faults(scheme: Signature) -> Iterator[Fault]:
    """Yield what is wrong with how a signature is described: what is not signed proves nothing."""
    if bool(scheme.header) == bool(scheme.signature):
        yield Fault("header", "is needed: where the signature stands; `signature` for another place, not both")
    names = parse_template(scheme.template).names
    if unknown := sorted({*re.findall(r"\{([\w:/~.-]*)\}", scheme.template)} - {*names}):
        yield Fault("template", f"has unknown placeholders: {', '.join(unknown)}")
    is_inside = scheme.signature.startswith(("/", "form:")) and any(
        name.startswith(("json:", "form:")) for name in names
    )
    if not is_inside and not {"body", "body_sha256", "body_sha256_hex"} & {*names}:
        yield Fault("template", "must have {body} or {body_sha256}, or the body is not signed")
    times = [name for name in ("timestamp_header", "timestamp_field", "timestamp") if getattr(scheme, name)]
    if len(times) > 1:
        yield Fault(times[1], f"says a second time where the time stands, beside {times[0]}")
    if ("timestamp" in names) != bool(times):
        yield Fault("template", "must have {timestamp} where the place of the time is set, and only there")
    if "id" in names and not scheme.id:
        yield Fault("template", "has {id}, and `id` does not say where the id stands")
    if any(name.startswith("field:") for name in names) and not (scheme.signature_field or scheme.timestamp_field):
        yield Fault("template", "has {field:…}, and no signature_field says that the header has named parts")


def _token_faults(scheme: JsonWebToken) -> Iterator[Fault]:
    """Yield what is wrong with how a token is described: a token for another receiver proves nothing."""
    if scheme.jwks_url and not scheme.audience:
        yield Fault("audience", "is needed beside jwks_url: the issuer signs tokens for others too")
    if not (scheme.body_claim or scheme.audience):
        yield Fault("body_claim", "is needed, or `audience`: what else the token is for")


def _wrong(faults: Sequence[Fault]) -> ConfigurationError:
    listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
    return ConfigurationError(
        "a webhook source is set up wrong", listed, "docs/how-to/verify-webhooks.md lists schemes and options", faults
    )
