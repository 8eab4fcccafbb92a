"""Read what a caller wants to be sent, and say all that is wrong with it. Nothing here touches the world."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import orjson

from carboy.errors import Fault, InvalidInput
from carboy.services.sms.numbers import Number, read_receivers
from carboy.services.sms.segments import MessageTooLong, segments
from carboy.services.sms.templates import Template, read_params

__all__ = ["Catalog", "SendRequest", "digest_of", "read_otp", "read_send", "read_verify"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """What may be asked for.

    Attributes:
        templates: by name.
        carriers: for each template, the providers that can carry it.
        providers: all that can be pinned.
        default_region: of numbers without a country's code.
        countries: that may be written to; empty for all.
    """

    templates: Mapping[str, Template]
    carriers: Mapping[str, Collection[str]]
    providers: Collection[str]
    default_region: str
    countries: Collection[str]


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A text that may be sent.

    Attributes:
        parts: of the text, and how many carriers of mainland China bill; None where only the provider knows the text.
        client: the address of who wants the code, as the caller says; empty where it does not.
    """

    receivers: tuple[Number, ...]
    template: Template
    params: dict[str, str]
    provider: str | None
    parts: tuple[int, int] | None
    digest: bytes
    client: str = ""


def read_send(body: Any, rules: Catalog) -> SendRequest:
    """Return what the body of `POST /api/sms` asks for.

    Raises:
        InvalidInput: with everything that is wrong.
    """
    faults = _shape_faults(body, {"receivers", "template", "params", "provider"})
    if not isinstance(body, dict):
        raise _invalid(faults)
    receivers, wrong = (
        read_receivers(body["receivers"], rules.default_region, rules.countries)
        if "receivers" in body
        else ([], [Fault("/receivers", "it is missing")])
    )
    faults += wrong
    template = _read_template(body, rules, faults)
    params, parts = _read_params(template, body.get("params"), faults)
    provider = _read_provider(body, template, rules, faults)
    if faults or template is None:
        raise _invalid(faults)
    return SendRequest(tuple(receivers), template, params, provider, parts, digest_of(body))


def read_otp(body: Any, rules: Catalog, code: str) -> SendRequest:
    """Return what the body of `POST /api/otp` asks for: a text with this code.

    The template is the named one, or the only one with `otp = true`. Its parameter `code`, or its first, is the code.

    Raises:
        InvalidInput: with everything that is wrong.
    """
    faults = _shape_faults(body, {"receiver", "template", "params", "provider", "client_ip"})
    if not isinstance(body, dict):
        raise _invalid(faults)
    client = _read_client(body, faults)
    receiver = _read_receiver(body, rules, faults)
    template = _read_otp_template(body, rules, faults)
    params: dict[str, str] = {}
    parts = None
    if template is not None:
        name = "code" if "code" in template.params or not template.params else template.params[0]
        given = body.get("params") or {}
        if isinstance(given, dict) and name in given:
            faults.append(Fault(f"/params/{name}", "the code is made here"))
        elif name not in template.params:
            faults.append(Fault("/template", "it has no parameter for a code"))
        else:
            merged = {**given, name: code} if isinstance(given, dict) else given
            params, parts = _read_params(template, merged, faults)
    provider = _read_provider(body, template, rules, faults)
    if faults or template is None or receiver is None:
        raise _invalid(faults)
    return SendRequest((receiver,), template, params, provider, parts, b"", client)


def read_verify(body: Any, rules: Catalog) -> tuple[Number | None, str, int | None, str]:
    """Return receiver, template, request and code of the body of `POST /api/otp/verify`.

    Raises:
        InvalidInput: with everything that is wrong.
    """
    faults = _shape_faults(body, {"receiver", "template", "id", "code"})
    if not isinstance(body, dict):
        raise _invalid(faults)
    code = body.get("code")
    code = str(code) if isinstance(code, int) and not isinstance(code, bool) else code
    if not isinstance(code, str) or not 1 <= len(code) <= 32:
        faults.append(Fault("/code", "it must be a text of 1 to 32 characters"))
        code = ""
    if "id" in body:
        text = body["id"]
        if not isinstance(text, str) or not (text.isascii() and text.isdigit() and len(text) < 20):
            faults.append(Fault("/id", "it must be the `id` of an earlier answer"))
            raise _invalid(faults)
        if faults:
            raise _invalid(faults)
        return None, "", min(int(text), (1 << 63) - 1), code
    receiver = _read_receiver(body, rules, faults)
    template = _read_otp_template(body, rules, faults)
    if faults or template is None:
        raise _invalid(faults)
    return receiver, template.name, None, code


def digest_of(body: Any) -> bytes:
    """Return what is the same for the same body, however it is formatted and its members are ordered."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def _shape_faults(body: Any, known: set[str]) -> list[Fault]:
    if not isinstance(body, dict):
        return [Fault("", "it must be an object")]
    return [Fault(f"/{name}", "there is no such member") for name in body if name not in known]


def _read_receiver(body: Mapping[str, Any], rules: Catalog, faults: list[Fault]) -> Number | None:
    if not isinstance(body.get("receiver"), str):
        faults.append(Fault("/receiver", "it must be one telephone number" if "receiver" in body else "it is missing"))
        return None
    found, wrong = read_receivers([body["receiver"]], rules.default_region, rules.countries)
    faults += [Fault("/receiver", one.detail) for one in wrong]
    return found[0] if found else None


def _read_client(body: Mapping[str, Any], faults: list[Fault]) -> str:
    if body.get("client_ip") is None:
        return ""
    try:
        found = ip_address(body["client_ip"] if isinstance(body["client_ip"], str) else "")
    except ValueError:
        faults.append(Fault("/client_ip", "it must be an IP address"))
        return ""
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))  # a household has a /64


def _read_template(body: Mapping[str, Any], rules: Catalog, faults: list[Fault]) -> Template | None:
    name = body.get("template")
    template = rules.templates.get(name) if isinstance(name, str) else None
    if template is None:
        known = ", ".join(rules.templates) or "none"
        faults.append(Fault("/template", f"there is no such template; there are: {known}" if name else "it is missing"))
    elif not rules.carriers.get(template.name):
        faults.append(Fault("/template", "no provider that is configured can carry it"))
    return template


def _read_otp_template(body: Mapping[str, Any], rules: Catalog, faults: list[Fault]) -> Template | None:
    marked = [one for one in rules.templates.values() if one.otp]
    if "template" not in body and len(marked) == 1:
        return marked[0]
    template = _read_template(body, rules, faults)
    if template is not None and not template.otp:
        faults.append(Fault("/template", "it is not for one-time passwords: it lacks `otp = true`"))
    return template


def _read_params(
    template: Template | None, given: Any, faults: list[Fault]
) -> tuple[dict[str, str], tuple[int, int] | None]:
    if template is None:
        return {}, None
    params, wrong = read_params(template, given)
    faults += wrong
    if wrong or not template.text:
        return params, None
    text = template.render(params)
    try:
        return params, (segments(text), segments(text, ucs2=True))
    except MessageTooLong as error:
        faults.append(Fault("/params", error.why))
        return params, None


def _read_provider(
    body: Mapping[str, Any], template: Template | None, rules: Catalog, faults: list[Fault]
) -> str | None:
    name = body.get("provider")
    if name is None:
        return None
    if name not in rules.providers:
        faults.append(Fault("/provider", f"there is no such provider; there are: {', '.join(rules.providers)}"))
    elif template is not None and name not in rules.carriers.get(template.name, ()):
        faults.append(Fault("/provider", "it cannot carry the template"))
    return str(name)


def _invalid(faults: list[Fault]) -> InvalidInput:
    return InvalidInput("the text cannot be sent", "; ".join(one.detail for one in faults), "", faults)
