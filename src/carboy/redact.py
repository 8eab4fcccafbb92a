"""Keep secrets out of text: a holder that never shows its value, names that sound secret, values known to be secret.

Everything here masks; what counts as a secret in a log line, an error or `settings show` is decided in this one place.
"""

import binascii
import hmac
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from sys import byteorder
from typing import Any, NoReturn, final
from urllib.parse import quote, quote_plus

__all__ = [
    "MASK",
    "Secret",
    "forget_secrets",
    "is_secret_name",
    "mask",
    "mask_text",
    "mask_url",
    "may_hold_secret",
    "register_secret",
]

MASK = "***"


@final
class Secret:
    """A text that shows itself only to who asks by `reveal()`; everywhere else it reads `***`.

    It counts and compares as its text does, in constant time, and only with another Secret.
    """

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_utf8(self._text), _utf8(other._text))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __len__(self) -> int:
        return len(self._text)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        return Secret, (self._text,)


# Names ------------------------------------------------------------------------------------------------------------

# Anywhere in a name, also glued to other words: `PGPASSWORD`, `clientsecret`.
_STEMS = (
    "password", "passwd", "passphrase", "passcode", "secret", "apikey", "privatekey", "accesskey", "signingkey",
    "encryptionkey", "credential", "authorization", "basicauth", "httpauth", "proxyauth", "connectionstring",
)  # fmt: skip
# As a word of its own: `reset_token_v2`, `Set-Cookie`, `X-Hub-Signature-256`.
_WORDS = frozenset({"token", "tokens", "cookie", "cookies", "signature", "pwd", "bearer", "jwt", "otp"})
# As the last word: `DB_PASS`, `?sig=`.
_LAST_WORDS = frozenset({"pass", "sig"})
# A name that ends in one of these tells something about a secret, not the secret: `token_count`, `secret_name`.
_ABOUT = frozenset(
    {
        "age", "alg", "algorithm", "arn", "at", "bytes", "count", "counts", "days", "endpoint", "expired", "expires",
        "expiration", "expiry", "field", "file", "format", "hint", "host", "id", "ids", "kind", "left", "len",
        "length", "limit", "loaded", "max", "method", "min", "minutes", "missing", "ms", "name", "names", "ns",
        "path", "policy", "present", "refreshed", "region", "remaining", "rotated", "rotation", "s", "scheme",
        "seconds", "size", "source", "stage", "stages", "status", "ttl", "type", "types", "uri", "url", "used",
        "valid", "version", "versions",
    }
)  # fmt: skip
# A name that begins with one of these counts or asks: `max_tokens`, `has_password`.
_ASKING = frozenset({"count", "has", "is", "max", "min", "needs", "num", "number", "requires", "total"})
# And these before `token` or `tokens` count words or turn pages: `prompt_tokens`, `NextToken`.
_TURNING = frozenset(
    {"cached", "completion", "continuation", "input", "next", "output", "page", "pagination", "prompt"}
)
_INNOCENT = re.compile(r"secretar|secrets?manager|passwordless|tokeni[sz]")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_KEPT_NAMES = 4096
_NAME_CHARS = 128
_verdicts: dict[str, bool] = {}


def is_secret_name(name: str) -> bool:
    """Say whether what is kept under this name should be masked: `db_password`, `X-Api-Key`, `clientSecret`.

    Names about a secret are not secret themselves: `token_count`, `secret_name`, `SignatureVersion`.
    """
    verdict = _verdicts.get(name)
    if verdict is None:
        verdict = _judge(name[-_NAME_CHARS:])
        if len(_verdicts) >= _KEPT_NAMES:  # names can come from outside: what is kept of them is bounded
            _verdicts.clear()
        if len(name) <= _NAME_CHARS:
            _verdicts[name] = verdict
    return verdict


def _judge(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    joined = "".join(words)
    if joined.endswith("sessionid"):
        return True
    if words[-1] in _ABOUT or words[0] in _ASKING or _INNOCENT.search(joined):
        return False
    if words[0] in _TURNING and words[-1] in {"token", "tokens"}:
        return False
    if any(stem in joined for stem in _STEMS) or not _WORDS.isdisjoint(words):
        return True
    return words[-1] in _LAST_WORDS or joined.endswith("token")


# Values -----------------------------------------------------------------------------------------------------------

# Every stored form of a secret is found by windows of four bytes. A text is looked at in steps of four; whatever its
# place, a form of at least seven bytes holds one such window within its first seven, so four windows a form are
# enough, and the cost of a look is that of the text, however many values are known.
_MIN_CHARS = 6
_KEPT_VALUES = 4096
_KEPT_CHARS = 8 * 1024 * 1024
_WINDOW = 4
_SHORT_BYTES = 2 * _WINDOW - 1


class _Known:
    """The values known to be secret. Writers hold the lock; readers need none: each entry is swapped whole."""

    def __init__(self) -> None:
        self.forms_at: dict[int, tuple[str, ...]] = {}
        self._forms_of: dict[str, tuple[str, ...]] = {}
        self._chars = 0
        self._has_short = False
        self.renew_lock()

    def clear(self) -> None:
        with self._lock:
            self.forms_at.clear()
            self._forms_of.clear()
            self._chars, self._has_short = 0, False

    def renew_lock(self) -> None:
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        with self._lock:
            forms = self._forms_of.pop(text, None)
            if forms is not None:
                self._forms_of[text] = forms  # seen again: the youngest now
                return
            while self._forms_of and (len(self._forms_of) >= _KEPT_VALUES or self._chars + len(text) > _KEPT_CHARS):
                self._forget(next(iter(self._forms_of)))
            self._forms_of[text] = forms = _forms(text)
            self._chars += len(text)
            for form in forms:
                self._has_short = self._has_short or len(_utf8(form)) < _SHORT_BYTES
                for window in _first_windows(form):
                    self.forms_at[window] = (*self.forms_at.get(window, ()), form)

    def _forget(self, text: str) -> None:
        self._chars -= len(text)
        for form in self._forms_of.pop(text):
            for window in _first_windows(form):
                rest = tuple(other for other in self.forms_at[window] if other != form)
                if rest:
                    self.forms_at[window] = rest
                else:
                    del self.forms_at[window]

    def may_be_in(self, raw: bytes, start: int = 0) -> bool:
        windows = self.forms_at.keys()
        return not windows.isdisjoint(_windows(raw, start)) or (
            self._has_short and not windows.isdisjoint(_windows(raw, start + _WINDOW // 2))
        )

    def mask(self, text: str) -> str:
        raw = _utf8(text)
        if not self.may_be_in(raw):
            return text
        seen = {*_windows(raw, 0), *_windows(raw, _WINDOW // 2)}
        forms = {form for window in seen for form in self.forms_at.get(window, ())}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text


def _forms(text: str) -> tuple[str, ...]:
    """Return the text as it stands in plain text, JSON, Python's repr and URLs; each form once."""
    raw = _utf8(text)
    found = (
        text,
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(text)[1:-1],
        repr(text)[1:-1],
        quote(raw, safe=""),
        quote(raw),
        quote_plus(raw),
    )
    return tuple(dict.fromkeys(found))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _first_windows(form: str) -> set[int]:
    raw = _utf8(form)
    return {int.from_bytes(raw[at : at + _WINDOW], byteorder) for at in range(min(_WINDOW, len(raw) - _WINDOW + 1))}


def _windows(raw: bytes, start: int) -> memoryview:
    end = len(raw) - (len(raw) - start) % _WINDOW
    return memoryview(raw)[start : max(start, end)].cast("I")


_known = _Known()
os.register_at_fork(after_in_child=_known.renew_lock)


def register_secret(value: str | Secret) -> None:
    """Mask this value from now on wherever it appears in text, also escaped or percent-encoded.

    Values under 6 characters are passed over: they would mask half of every text. The latest 4,096 values are kept.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    if len(text) >= _MIN_CHARS:
        _known.add(text)


def forget_secrets() -> None:
    """Forget every registered value; for tests, which share a process."""
    _known.clear()


# Text -------------------------------------------------------------------------------------------------------------

_USERINFO = re.compile(
    r"""(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,30}://)([^\s/?#@:"'<>]{0,256})
        (:[^\s/?#"'<>]*(?=@)          # a password
        |:(?!\d{1,5}[/?#])[^\s"'<>@]*(?=@)  # one that should have been percent-encoded; not a port and a path
        )?@""",
    re.VERBOSE,
)
_BEARER = re.compile(r"(?i)\b(bearer(?:\s+|%20))(?!(?:token|auth\w*|scheme|key)s?(?![\w.~+/-]))[\w.~+/-]{4,}=*")
_BASIC = re.compile(r"(?i)\b(basic(?:\s+|%20))([a-z0-9+/_-]{4,}=*)")
_API_KEY = re.compile(r"\bcby_[A-Za-z0-9_-]{4,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)", re.DOTALL
)
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,3}:\s{0,3})(?![\s\"'\\])(?:[^\r\n\"'\\]|(?<==)\"[^\r\n\"]*\")+"
)
_NAME = re.compile(r"(?<![\w.-])(?:arn:aws[\w-]*:[^\s\"',;]*|([\w.-]{2,128})\\*[\"']?\s{0,3}(?:=>|:=|==|[=:])\s{0,3})")
_VALUE = re.compile(
    r"""(?P<opening>[bru]{0,2}(?P<quote>\\*["']))(?:[^\\]|\\.?)*?(?P<closing>(?P=quote)|\Z)
      | (?![bru]{0,2}\\*["'])(?:[\[{(][^\r\n]*|[^\s&;,"')}\]]+)""",
    re.VERBOSE | re.DOTALL,
)
_PAIR_HINTS = ("pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "sig", "bearer", "jwt", "otp", "conn")


def mask_text(text: str) -> str:
    """Return the text with what is secret in it as `***`.

    Masked are registered values, credentials in URLs, `Bearer …` and `Basic …`, our own API keys, private keys in PEM,
    and `name=value`, `name: value`, `"name": "value"` where the name sounds secret.
    """
    if _known.forms_at:
        text = _known.mask(text)
    if ":" in text or "=" in text or " " in text or "cby_" in text or "%20" in text:
        return _mask_patterns(text)
    return text


def _mask_patterns(text: str) -> str:
    low = text.lower()
    if "@" in text and "://" in text:
        text = _USERINFO.sub(_without_userinfo, text)
    if "cby_" in text:
        text = _API_KEY.sub("cby_" + MASK, text)
    if "private key" in low:
        text = _PRIVATE_KEY.sub(MASK, text)
    if ":" in text and ("authorization" in low or "cookie" in low):
        text = _HEADER.sub(rf"\1\2{MASK}", text)
    if "bearer" in low:
        text = _BEARER.sub(rf"\1{MASK}", text)
    if "basic" in low:
        text = _BASIC.sub(_without_basic, text)
    if (":" in text or "=" in text) and any(hint in low for hint in _PAIR_HINTS):
        text = _mask_pairs(text)
    return text


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


def _mask_pairs(text: str) -> str:
    parts: list[str] = []
    done = 0
    for match in _NAME.finditer(text):
        if match.start() < done or not match[1] or not is_secret_name(match[1]):
            continue
        value = _VALUE.match(text, match.end())
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
        b"=" in rendered
        or rendered.count(b":") != colons
        or b"\\" in rendered
        or b"cby_" in rendered
        or (b" " in rendered and _sounds_like_scheme(rendered.lower()))
        or (bool(_known.forms_at) and _known.may_be_in(rendered, fixed_bytes))
    )


def _sounds_like_scheme(low: bytes) -> bool:
    return b"bearer" in low or b"basic" in low or b"private key" in low


# Nested values ----------------------------------------------------------------------------------------------------

_MAX_DEPTH = 32


def mask(value: Any) -> Any:
    """Return a copy of the value with what is secret in it masked, by name and by text, at any depth.

    Mappings become dicts, sequences and sets lists (a tuple stays one); anything else is returned as it is.
    """
    return _mask(value, 0)


def _mask(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Secret) or (depth >= _MAX_DEPTH and isinstance(value, (Mapping, Sequence, AbstractSet))):
        return MASK
    if isinstance(value, Mapping):
        return {_mask_key(key): _mask_named(key, item, depth) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_mask(item, depth + 1) for item in value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value
    if isinstance(value, (Sequence, AbstractSet)):
        return [_mask(item, depth + 1) for item in value]
    return value


def _mask_key(key: Any) -> Any:
    return mask_text(key) if isinstance(key, str) else key


def _mask_named(key: Any, item: Any, depth: int) -> Any:
    if item is None or isinstance(item, bool):  # whether a secret is set is no secret
        return item
    return MASK if isinstance(key, str) and is_secret_name(key) else _mask(item, depth + 1)
