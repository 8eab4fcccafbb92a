"""Judge by its name alone whether a value is secret."""

import re

# Anywhere in a name, also glued to other words: `PGPASSWORD`, `clientsecret`.
_STEMS = (
    "password", "passwd", "passphrase", "passcode", "secret", "apikey", "privatekey", "accesskey",
    "accountkey", "signingkey", "encryptionkey", "credential", "authorization", "basicauth", "httpauth", "proxyauth",
    "connectionstring",
)  # fmt: skip
# As a word of its own: `reset_token_v2`, `Set-Cookie`, `X-Hub-Signature-256`.
_WORDS = frozenset({"token", "tokens", "cookie", "cookies", "signature", "pwd", "bearer", "jwt", "otp"})
# As the last word: `DB_PASS`, `?sig=`.
_LAST_WORDS = frozenset({"pass", "sig"})
# A name that ends in one of these describes a secret and is not secret: `token_count`, `secret_name`.
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
    """Return whether what is kept under this name should be masked: `db_password`, `X-Api-Key`, `clientSecret`.

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
