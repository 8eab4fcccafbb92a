"""The schemes by which webhooks are verified, by the names and options that a source's settings give them.

How each one works is in `carboy.webhooks`; SNS messages too.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from carboy import webhooks
from carboy.errors import ConfigurationError, Fault
from carboy.webhooks import Incoming, Scheme, Unverified

__all__ = ["SCHEMES", "Incoming", "Scheme", "Unverified", "make_scheme"]

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, section 5.6.2
_URL = re.compile(r"https?://[^/?#@\s]+")


def _is_seconds(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


# What each name means, and which of its options a source may set.
SCHEMES: Mapping[str, tuple[Any, frozenset[str]]] = {
    "github": (webhooks.Hmac("X-Hub-Signature-256", prefix="sha256="), frozenset()),
    "slack": (
        webhooks.Hmac(
            "X-Slack-Signature",
            prefix="v0=",
            timestamp_header="X-Slack-Request-Timestamp",
            template="v0:{timestamp}:{body}",
        ),
        frozenset({"tolerance_s"}),
    ),
    "shopify": (webhooks.Hmac("X-Shopify-Hmac-SHA256", encoding="base64"), frozenset()),
    "messagebird": (
        webhooks.Hmac(
            "MessageBird-Signature",
            encoding="base64",
            timestamp_header="MessageBird-Request-Timestamp",
            template="{timestamp}\n{url}\n{body_sha256}",
        ),
        frozenset({"tolerance_s", "public_url"}),
    ),
    "stripe": (webhooks.Stripe(), frozenset({"tolerance_s"})),
    "standard-webhooks": (webhooks.StandardWebhooks(), frozenset({"tolerance_s"})),
    "twilio": (webhooks.Twilio(), frozenset({"public_url"})),
    "hmac": (webhooks.Hmac(""), frozenset(field.name for field in fields(webhooks.Hmac))),
    "bearer": (webhooks.Bearer(), frozenset({"header"})),
    "basic": (webhooks.Basic(), frozenset({"username"})),
    "none": (webhooks.Open(), frozenset()),
}
_RULES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "header": (lambda text: bool(_HEADER.fullmatch(text)), "must be the name of a header"),
    "timestamp_header": (lambda text: bool(_HEADER.fullmatch(text)), "must be the name of a header"),
    "algorithm": (webhooks.ALGORITHMS.__contains__, f"must be one of {', '.join(webhooks.ALGORITHMS)}"),
    "encoding": (webhooks.ENCODINGS.__contains__, f"must be one of {', '.join(webhooks.ENCODINGS)}"),
    "tolerance_s": (_is_seconds, "must be a number of seconds above 0"),
    "public_url": (lambda text: bool(_URL.fullmatch(text)), "must be https://host or https://host:port"),
}


def make_scheme(name: str, options: Mapping[str, str]) -> Scheme:
    """Return the scheme of a source.

    Args:
        name: what `verify` says: `github`, `stripe`, `slack`, `standard-webhooks`, `twilio`, `shopify`, `messagebird`,
            `hmac`, `bearer`, `basic` or `none`.
        options: further settings of the source for that scheme; `hmac` needs `header`.

    Raises:
        ConfigurationError: the name or an option is unknown, missing or wrong; all that is.
    """
    if name not in SCHEMES:
        raise _wrong([Fault("verify", f"must be one of {', '.join(SCHEMES)}")])
    preset, settable = SCHEMES[name]
    faults = [Fault(key, f"is no option of {name}") for key in options if key not in settable]
    faults += [
        Fault(key, _RULES[key][1])
        for key, text in options.items()
        if key in settable and key in _RULES and not _RULES[key][0](text)
    ]
    if name == "hmac":
        faults += _template_faults(options)
    if faults:
        raise _wrong(faults)
    return replace(preset, **{key: float(text) if key == "tolerance_s" else text for key, text in options.items()})  # type: ignore[no-any-return]


def _template_faults(options: Mapping[str, str]) -> list[Fault]:
    """Say what is wrong with how an HMAC is described: what is not signed proves nothing."""
    faults = [] if "header" in options else [Fault("header", "is needed: where the signature stands")]
    template = options.get("template", "{body}")
    names = webhooks.PLACEHOLDERS.findall(template)
    if unknown := sorted({*re.findall(r"\{(\w*)\}", template)} - {*names}):
        faults.append(Fault("template", f"has unknown placeholders: {', '.join(unknown)}"))
    if not {"body", "body_sha256"} & {*names}:
        faults.append(Fault("template", "must have {body} or {body_sha256}, or the body is not signed"))
    if ("timestamp" in names) != ("timestamp_header" in options):
        faults.append(Fault("template", "must have {timestamp} where timestamp_header is set, and only there"))
    return faults


def _wrong(faults: Sequence[Fault]) -> ConfigurationError:
    listed = "; ".join(f"`{fault.pointer}` {fault.detail}" for fault in faults)
    return ConfigurationError(
        "a webhook source is set up wrong", listed, "docs/how-to/verify-webhooks.md lists schemes and options", faults
    )
