"""Mask secrets in a text: known values, credentials by their form, and values with a secret name."""

import binascii
import re

from carboy.redact.free_text import mask_free_text
from carboy.redact.known import KNOWN
from carboy.redact.secret import MASK
from carboy.redact.secret_names import is_secret_name

# Texts, as `re` compiles and keeps them when they are first used: most processes never need most of them.
_USERINFO = r"""(?ix)(?<![a-z0-9+.-])((?:[a-z][a-z0-9+.-]{0,30}:)?//)([^\s/?#@:"'<>]{0,256})
    (:[^\s/?#"'<>]*(?=@)          # a password
    |:(?!\d{1,5}[/?#])[^\s"'<>@]*(?=@)  # one that should have been percent-encoded; not a port and a path
    )?@"""
_BEARER = r"(?i)\b(bearer(?:\s+|%20))(?!(?:token|auth\w*|scheme|key)s?(?![\w.~+/-]))[\w.~+/-]{4,}=*"
_BASIC = r"(?i)\b(basic(?:\s+|%20))([a-z0-9+/_-]{4,}=*)"
_API_KEY = r"\bcby_[A-Za-z0-9_-]{4,}"
_PRIVATE_KEY = r"(?s)-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)"
_HEADER = (
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,3}:\s{0,3})(?![\s\"'\\])"
    r"(?:[^\r\n\"'\\]|(?<==)\"[^\r\n\"]*\")+"
)
_NAME = (
    r"(?<![\w.-])(?:arn:aws[\w-]*:[^\s\"',;]*|([\w.-]{2,128})\\*(?:[\"']|%2[27])?"
    r"\s{0,3}(?:=>|:=|==|[=:]|%3[ADad])\s{0,3})"
)
_VALUE = r"""(?sx)(?P<opening>[bru]{0,2}(?P<quote>\\*["']))(?:[^\\]|\\.?)*?(?P<closing>(?P=quote)|\Z)
    | (?![bru]{0,2}\\*["'])(?:[\[{(][^\r\n]*|[^\s&;,"')}\]]+)"""
_PAIR = r"""(?sx)(?P<before>(?:(?P<opens>[(\[])\s?|(?=[bru]{0,2}["']--))  # a pair, or an option and its value
    [bru]{0,2}(?P<mark>["'])(?P<name>[\w.-]{2,128})(?P=mark),\s?[bru]{0,2}(?P<quote>["']))
    (?:(?!(?P=quote))[^\\]|\\.)*(?P<after>(?P=quote)(?(opens)\s?[)\]]))"""
_MARKS = b":=\\<%'J"  # of what `_may_be_marked` looks for, a byte each
_PAIR_HINTS = ("pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "sig", "bearer", "jwt", "otp", "conn")


def mask_text(text: str) -> str:
    """Return the text with what is secret in it as `***`.

    Masked are registered values, credentials in URLs, `Bearer …` and `Basic …`, our own API keys, private keys in PEM,
    JSON Web Tokens, and values with a name that sounds secret: `name=value`, `name: value`,
    `"name": "value"`, `("name", "value")`, `<name>value</name>`, `--name value`, `curl -u user:value`.
    """
    if KNOWN.forms_at:
        text = KNOWN.mask(text)
    return text if text.isalnum() else _mask_patterns(text)


def _mask_patterns(text: str) -> str:
    low = text.lower()
    if "@" in text and "//" in text:
        text = re.sub(_USERINFO, _without_userinfo, text)
    if "cby_" in text:
        text = re.sub(_API_KEY, "cby_" + MASK, text)
    if "private key" in low:
        text = re.sub(_PRIVATE_KEY, MASK, text)
    if ":" in text and ("authorization" in low or "cookie" in low):
        text = re.sub(_HEADER, rf"\1\2{MASK}", text)
    if "bearer" in low:
        text = re.sub(_BEARER, rf"\1{MASK}", text)
    if "basic" in low:
        text = re.sub(_BASIC, _without_basic, text)
    if any(hint in low for hint in _PAIR_HINTS):
        if ":" in text or "=" in text or "%3" in text:
            text = _mask_pairs(text)
        if "', " in text or '", ' in text:
            text = re.sub(_PAIR, _without_value, text)
    return mask_free_text(text, low)


def _without_userinfo(match: re.Match[str]) -> str:
    scheme, user, password = match.groups()
    if password is not None:
        return f"{scheme}{user}:{MASK}@"
    if scheme.lower() in {"http://", "https://"}:  # there a lone user is a token: https://TOKEN@github.com
        return f"{scheme}{MASK}@"
    return match[0]


def _without_basic(match: re.Match[str]) -> str:
    try:
        is_login = b":" in binascii.a2b_base64(match[2] + "==")
    except binascii.Error:
        is_login = False
    return match[1] + MASK if is_login else match[0]  # else it is prose: "basic settings"


def _without_value(match: re.Match[str]) -> str:
    return f"{match['before']}{MASK}{match['after']}" if is_secret_name(match["name"]) else match[0]


def _mask_pairs(text: str) -> str:
    parts: list[str] = []
    done = 0
    value_at = re.compile(_VALUE).match
    for match in re.finditer(_NAME, text):
        if match.start() < done or not match[1] or not is_secret_name(match[1]):
            continue
        value = value_at(text, match.end())
        if value:
            parts += text[done : match.end()], value["opening"] or "", MASK, value["closing"] or ""
            done = value.end()
    return "".join(parts) + text[done:] if parts else text


def mask_url(url: str) -> str:
    """Return the URL without its password and with the values of secret query parameters as `***`."""
    return mask_text(url)


def may_hold_secret(rendered: bytes, colons: int, fixed_bytes: int = 0) -> bool:
    """Say, fast, whether a rendered JSON line could hold what `mask_text` would mask; True may be a false alarm.

    Args:
        rendered: the JSON line, in UTF-8.
        colons: how many colons the line has when none of its texts holds one.
        fixed_bytes: how much of its beginning is known to hold none.
    """
    return (
        # counted in one pass: most lines hold no mark but the colons of their fields
        (len(rendered) - len(rendered.translate(None, _MARKS)) != colons and _may_be_marked(rendered, colons))
        or rendered.find(b"cby_") >= 0
        or (rendered.find(b" ") >= 0 and _may_be_free_text(rendered.lower(), fixed_bytes))
        or (bool(KNOWN.forms_at) and KNOWN.may_be_in(rendered, fixed_bytes))
    )


def _may_be_marked(rendered: bytes, colons: int) -> bool:
    return (
        b"=" in rendered
        or rendered.count(b":") != colons
        or b"\\" in rendered
        or b"%3" in rendered
        or b"', '" in rendered
        or b"<" in rendered
        or b"eyJ" in rendered
    )


def _may_be_free_text(low: bytes, start: int) -> bool:
    if low.find(b"-", start) >= 0 and (b" -" in low or b'"-' in low):  # options of a command
        return True
    if b"pass" in low or (b"'" in low and b"identified" in low):
        return True
    return b"bearer" in low or b"basic" in low or b"private key" in low
