"""Requests to send: parse and check the bodies of the API, and report every fault. Nothing here does I/O."""

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import orjson

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import Fault, InvalidInput
from carboy.http_values import MAX_ID, render_pointer
from carboy.services.sms.numbers import MAX_RECEIVERS, Number, NumberRules, read_receivers
from carboy.services.sms.request_options import OPTIONS, Options, read_options, read_reference
from carboy.services.sms.segments import MessageTooLong, billed_in_china, segments
from carboy.services.sms.templates import Template, read_params

MAX_TEXT_CHARS = 1600
"""The longest text that Twilio, End User Messaging and SNS take."""


_SHARED = frozenset({"receivers", "params"})
_SEND = frozenset({*_SHARED, "messages", "template", "provider", *OPTIONS})


@dataclass(frozen=True, slots=True)
class Catalog:
    """What may be requested.

    Attributes:
        templates: by name.
        carriers: for each template, the providers that can carry it.
        providers: all that a request may name.
        ordered: those of `SMS_PROVIDER`, which carry requests that name none.
        numbers: which numbers may be written to.
        signs: for each template, the longest sign that a Chinese provider puts before it.
        reaches: whether some provider can carry a template to a country; with the provider of the request, if any.
        callback_hosts: the hosts that a request's `callback_url` may have.
        allow_http: whether `callback_url` may begin with http.
        clock: decides whether `send_at` is near enough.
    """

    templates: Mapping[str, Template]
    carriers: Mapping[str, Collection[str]]
    providers: Collection[str]
    ordered: Collection[str]
    numbers: NumberRules
    signs: Mapping[str, str] = field(default_factory=dict)
    reaches: Callable[[Template, str | None, str], bool] = lambda template, provider, country: True
    callback_hosts: Collection[str] = ()
    allow_http: bool = False
    clock: Clock = SYSTEM_CLOCK


@dataclass(frozen=True, slots=True)
class Personal:
    """What one receiver's message has of its own.

    Attributes:
        params: in the template's order.
        parts: of the text, and parts billed in mainland China; None if only the provider knows the text.
        reference: the caller's own; None for that of the request.
    """

    params: dict[str, str]
    parts: tuple[int, int] | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A checked request to send a message.

    Attributes:
        pointers: of the receivers in the body, in their order.
        parts: of the text, and parts billed in mainland China; None if only the provider knows the text.
        client: the address of the person who asked for the code; empty if the caller does not name it.
        personal: for each receiver, where the messages differ; empty where they do not.
        options: when it is sent, and what else the caller wants.
    """

    receivers: tuple[Number, ...]
    pointers: tuple[str, ...]
    template: Template
    params: dict[str, str]
    provider: str | None
    parts: tuple[int, int] | None
    digest: bytes
    client: str = ""
    personal: tuple[Personal, ...] = ()
    options: Options = Options()


def read_send(body: Any, rules: Catalog) -> SendRequest:
    """Return the request in the body of `POST /api/sms`.

    Raises:
        InvalidInput: with every fault.
    """
    faults = _member_faults(body, _SEND)
    is_personal = "messages" in body
    if is_personal:
        faults += [Fault(f"/{name}", "each of `messages` has its own") for name in body if name in _SHARED]
    template = _read_template(body, rules, faults)
    personal: list[Personal] = []
    params: dict[str, str] = {}
    parts = None
    if is_personal:
        receivers, personal = _read_messages(body["messages"], template, rules, faults)
    else:
        found, wrong = (
            read_receivers(body["receivers"], rules.numbers)
            if "receivers" in body
            else ({}, [Fault("/receivers", "it is missing")])
        )
        receivers = list(found.items())
        faults += wrong
        params, parts = _read_params(template, body.get("params"), rules, faults)
    provider = _read_provider(body, template, rules, faults)
    options = read_options(body, rules.clock.now_ms(), rules.callback_hosts, faults, allow_http=rules.allow_http)
    if template is not None and not faults:
        faults += _reach_faults(receivers, template, provider, rules)
    if faults or template is None:
        raise _invalid(faults)
    numbers, pointers = tuple(number for number, _ in receivers), tuple(pointer for _, pointer in receivers)
    digest = digest_of(body)
    return SendRequest(numbers, pointers, template, params, provider, parts, digest, "", tuple(personal), options)


def read_otp(body: Any, rules: Catalog, code: str) -> SendRequest:
    """Return the request in the body of `POST /api/otp`: a message with this code.

    The template is the one named, or the only one with `otp = true`. Its parameter `code`, or its first, is the code.

    Raises:
        InvalidInput: with every fault.
    """
    faults = _member_faults(body, {"receiver", "template", "params", "provider", "client_ip"})
    client = _read_client(body, faults)
    receiver = _read_receiver(body, rules, faults)
    template = _read_otp_template(body, rules, faults)
    params: dict[str, str] = {}
    parts = None
    if template is not None:
        name = "code" if "code" in template.params or not template.params else template.params[0]
        given = body.get("params") or {}
        if isinstance(given, dict) and name in given:
            faults.append(Fault(f"/params/{name}", "the gateway makes the code"))
        elif name not in template.params:
            faults.append(Fault("/template", "it has no parameter for a code"))
        else:
            merged = {**given, name: code} if isinstance(given, dict) else given
            params, parts = _read_params(template, merged, rules, faults)
    provider = _read_provider(body, template, rules, faults)
    if faults or template is None or receiver is None:
        raise _invalid(faults)
    return SendRequest((receiver,), ("/receiver",), template, params, provider, parts, digest_of(body), client)


def read_verify(body: Any, rules: Catalog) -> tuple[Number | None, str, int | None, str]:
    """Return receiver, template, request and code in the body of `POST /api/otp/verify`.

    Blanks and hyphens in the code are dropped, and digits of any script are read.

    Raises:
        InvalidInput: with every fault.
    """
    faults = _member_faults(body, {"receiver", "template", "id", "code"})
    code = body.get("code")
    code = str(code) if isinstance(code, int) and not isinstance(code, bool) else code
    code = _plain_code(code) if isinstance(code, str) and len(code) <= 64 else ""
    if not 1 <= len(code) <= 32:
        faults.append(Fault("/code", "it must be a text of 1 to 32 characters"))
    if "id" in body:
        text = body["id"]
        if not isinstance(text, str) or not (text.isascii() and text.isdigit() and len(text) < 20):
            faults.append(Fault("/id", "it must be the `id` of an earlier answer"))
        if faults:
            raise _invalid(faults)
        return None, "", min(int(text), MAX_ID), code
    receiver = _read_receiver(body, rules, faults)
    template = _read_otp_template(body, rules, faults)
    if faults or template is None:
        raise _invalid(faults)
    return receiver, template.name, None, code


def digest_of(body: Any) -> bytes:
    """Return a hash of a body that does not depend on its formatting and the order of its members."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def _plain_code(text: str) -> str:
    """Return a code as the gateway made it, of one as people type it."""
    plain = "".join(unicodedata.normalize("NFKC", text).split()).replace("-", "")
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in plain)


def _member_faults(body: Any, known: Collection[str]) -> list[Fault]:
    faults = _shape_faults(body, known)
    if not isinstance(body, dict):
        raise _invalid(faults)
    return faults


def _shape_faults(body: Any, known: Collection[str]) -> list[Fault]:
    if not isinstance(body, dict):
        return [Fault("", "it must be an object")]
    return [Fault(render_pointer((name,)), "there is no such member") for name in body if name not in known]


def _read_receiver(body: Mapping[str, Any], rules: Catalog, faults: list[Fault]) -> Number | None:
    if not isinstance(body.get("receiver"), str):
        faults.append(Fault("/receiver", "it must be one telephone number" if "receiver" in body else "it is missing"))
        return None
    found, wrong = read_receivers([body["receiver"]], rules.numbers)
    faults += [Fault("/receiver", one.detail) for one in wrong]
    return next(iter(found), None)


def _read_messages(
    given: Any, template: Template | None, rules: Catalog, faults: list[Fault]
) -> tuple[list[tuple[Number, str]], list[Personal]]:
    """Return the receivers with their pointers, and what each one's message has of its own."""
    if not isinstance(given, list) or not given:
        faults.append(Fault("/messages", "it must be a list of messages"))
        return [], []
    if len(given) > MAX_RECEIVERS:
        faults.append(Fault("/messages", f"there are {len(given)} messages; at most {MAX_RECEIVERS} are taken at once"))
        return [], []
    receivers: list[tuple[Number, str]] = []
    personal: list[Personal] = []
    seen: set[Number] = set()
    for place, one in enumerate(given):
        at = f"/messages/{place}"
        wrong = _shape_faults(one, {"receiver", "params", "reference"})
        if isinstance(one, dict):
            number = _read_receiver(one, rules, wrong)
            if number in seen and template is not None and template.otp:
                wrong.append(Fault("/receiver", "it is there twice, and the template is for one-time passwords"))
            params, parts = _read_params(template, one.get("params"), rules, wrong)
            reference = read_reference(one.get("reference"), "/reference", wrong)
            if number is not None:
                seen.add(number)
                receivers.append((number, f"{at}/receiver"))
                personal.append(Personal(params, parts, reference))
        faults += [Fault(at + fault.pointer, fault.detail) for fault in wrong]
    return receivers, personal


def _reach_faults(
    receivers: list[tuple[Number, str]], template: Template, provider: str | None, rules: Catalog
) -> list[Fault]:
    """Return a fault for each receiver in a country to which no provider can carry the template."""
    countries = {one.region for one, _ in receivers}
    reached = {country for country in countries if rules.reaches(template, provider, country)}
    return [
        Fault(pointer, f"no provider can carry the template to {one.region}")
        for one, pointer in receivers
        if one.region not in reached
    ]


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
    template: Template | None, given: Any, rules: Catalog, faults: list[Fault]
) -> tuple[dict[str, str], tuple[int, int] | None]:
    if template is None:
        return {}, None
    params, wrong = read_params(template, given)
    faults += wrong
    if wrong or not template.text:
        return params, None
    text = template.render(params)
    if len(text) > MAX_TEXT_CHARS:
        faults.append(Fault("/params", f"the text has {len(text)} characters; at most {MAX_TEXT_CHARS} are sent"))
        return params, None
    try:
        return params, (segments(text), billed_in_china(text, rules.signs.get(template.name, "")))
    except MessageTooLong as error:
        faults.append(Fault("/params", error.why))
        return params, None


def _read_provider(
    body: Mapping[str, Any], template: Template | None, rules: Catalog, faults: list[Fault]
) -> str | None:
    name, carriers = body.get("provider"), rules.carriers.get(template.name, ()) if template else ()
    if name is None:
        if template is not None and not any(one in rules.ordered for one in carriers):
            hint = f"; name one as `provider`: {', '.join(carriers)}" if carriers else ""
            faults.append(Fault("/template", f"no provider of SMS_PROVIDER can carry it{hint}"))
        return None
    if name not in rules.providers:
        faults.append(Fault("/provider", f"there is no such provider; there are: {', '.join(rules.providers)}"))
    elif template is not None and name not in carriers:
        faults.append(Fault("/provider", "it cannot carry the template"))
    return str(name)


def _invalid(faults: list[Fault]) -> InvalidInput:
    return InvalidInput("the text cannot be sent", "; ".join(one.detail for one in faults), "", faults)
