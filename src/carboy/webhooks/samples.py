"""Sign a sample webhook as its sender would, to test a source with its own secret."""

import base64
import hmac
from dataclasses import replace

import orjson

from carboy.errors import UsageError
from carboy.http_values import parse_pointer
from carboy.raw_request import RawRequest
from carboy.webhooks.jwt import JsonWebToken, is_public_key
from carboy.webhooks.places import find_text, put_at
from carboy.webhooks.schemes import Basic, Bearer, Open, Twilio
from carboy.webhooks.signatures import ENCODINGS, Signature
from carboy.webhooks.standard_webhooks import StandardWebhooks
from carboy.webhooks.templates import parse_template
from carboy.webhooks.verification import Scheme, keys_of, public_address


def sign_sample(scheme: Scheme, request: RawRequest, secret: str, now_s: int) -> RawRequest:
    """Return a request with what proves it to a scheme.

    Args:
        scheme: of the source.
        request: the sample; its headers and its body stay.
        secret: one of the source's.
        now_s: the time to sign, seconds since the epoch.

    Raises:
        UsageError: only the sender can sign: it has the private key, or the signature stands in a form.
    """
    match scheme:
        case Open():
            return request
        case Bearer():
            value = f"Bearer {secret}" if scheme.header.lower() == "authorization" else secret
            return _with(request, {scheme.header: value})
        case Basic():
            plain = f"{scheme.username or 'test'}:{secret}".encode()
            return _with(request, {"Authorization": "Basic " + base64.b64encode(plain).decode()})
        case StandardWebhooks() if "whpk_" not in secret:
            event_id = request.headers.get("webhook-id") or request.headers.get("svix-id") or f"msg_{now_s}"
            signed = b"%s.%d.%s" % (event_id.encode(), now_s, request.body)
            digest = hmac.digest(scheme.key(secret), signed, "sha256")
            family = "svix" if "svix-id" in request.headers else "webhook"
            names = (f"{family}-id", f"{family}-timestamp", f"{family}-signature")
            values = (event_id, str(now_s), "v1," + base64.b64encode(digest).decode())
            return _with(request, dict(zip(names, values, strict=True)))
        case Twilio():
            form = replace(request, body=b"Test=carboy")
            text = public_address(form, scheme.public_url) + "Testcarboy"
            written = base64.b64encode(hmac.digest(keys_of([secret])[0], text.encode(), "sha1")).decode()
            return _with(form, {"X-Twilio-Signature": written, "Content-Type": "application/x-www-form-urlencoded"})
        case JsonWebToken(jwks_url="") if not is_public_key(secret):
            return _with(request, {scheme.header: scheme.sign(request.body, secret, now_s)})
        case Signature(kind="hmac", timestamp_header="") if _is_inside(scheme):
            return _signed_inside(scheme, request, secret, now_s)
        case Signature(kind="hmac", timestamp="") if not scheme.signature.startswith(("/", "form:")):
            return _signed(scheme, request, secret, now_s)
    raise UsageError(
        "a sample cannot be signed here",
        "only the sender can sign it: it has the private key, or the proof stands where no sample can have it",
        "have the sender send a test event",
    )


def _is_inside(scheme: Signature) -> bool:
    """Return whether the signature stands in the JSON body, and the time too if there is one."""
    return scheme.signature.startswith("/") and (scheme.timestamp or "/").startswith("/")


def _signed(scheme: Signature, request: RawRequest, secret: str, now_s: int) -> RawRequest:
    """Return a request with an HMAC where the scheme looks for it: in a header, or in the query."""
    needed = [name[7:] for name in parse_template(scheme.template).names if name.startswith("header:")]
    request = _with(request, {name: f"test-{now_s}" for name in needed if name.lower() not in request.headers})
    if scheme.timestamp_header:
        request = _with(request, {scheme.timestamp_header: str(now_s)})
    fields = [(scheme.timestamp_field, str(now_s))] if scheme.timestamp_field else []
    fields += [(name[6:], "test") for name in parse_template(scheme.template).names if name.startswith("field:")]
    signature = _signature(scheme, scheme.text(request, str(now_s), fields), secret)
    if scheme.signature:
        joined = "&" if "?" in request.url else "?"
        return replace(request, url=f"{request.url}{joined}{scheme.signature[6:]}={signature}")
    value = scheme.prefix + signature
    if scheme.signature_field:
        parts = [*fields, (scheme.signature_field, value)]
        value = (scheme.separator or ",").join(f"{name}{scheme.assigns}{one}" for name, one in parts)
    return _with(request, {scheme.header: value})


def _signed_inside(scheme: Signature, request: RawRequest, secret: str, now_s: int) -> RawRequest:
    """Return a request with an HMAC in its JSON body, over the parts of it that the template names."""
    document = orjson.loads(request.body)
    parts = [name[5:] for name in parse_template(scheme.template).names if name.startswith("json:")]
    for pointer in parts:
        document = put_at(document, parse_pointer(pointer), find_text(pointer, request) or "test")
    if scheme.timestamp:
        document = put_at(document, parse_pointer(scheme.timestamp), str(now_s))
    signature = _signature(scheme, scheme.text(replace(request, body=orjson.dumps(document)), str(now_s), []), secret)
    document = put_at(document, parse_pointer(scheme.signature), scheme.prefix + signature)
    return replace(request, body=orjson.dumps(document))


def _signature(scheme: Signature, text: bytes, secret: str) -> str:
    key = keys_of([secret], scheme.secret_encoding)[0]
    return ENCODINGS[scheme.encoding](hmac.digest(key, text, scheme.algorithm)).decode()


def _with(request: RawRequest, headers: dict[str, str]) -> RawRequest:
    return replace(request, headers={**request.headers, **{name.lower(): value for name, value in headers.items()}})
