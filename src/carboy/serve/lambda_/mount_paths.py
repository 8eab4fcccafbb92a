"""Where a request's path is split: what the application is mounted at, and what it routes.

Only strings are handled here. A path that a platform sends *encoded* is as the client sent it; a *decoded* one has lost
its percent signs already and must not be decoded again.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, unquote_to_bytes

_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9/!$&'()*+,;=:@._~-]").search
_NOT_IN_A_QUERY = re.compile(r"[^A-Za-z0-9._~-]").search
_PARAMETER = re.compile(r"\{([^}+]+)\+?\}")


def is_plain(path: str) -> bool:
    """Say whether a path is the same encoded and decoded."""
    return _NOT_IN_A_PATH(path) is None


def native(text: str) -> str:
    """Return text as PEP 3333 wants it: one character for each byte.

    Text that fits latin-1 is taken to be that already; other text becomes its UTF-8 bytes.
    """
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("latin-1")
    return text


def native_path(decoded: str) -> str:
    """Return a decoded path as an environ holds it: its UTF-8 bytes, one character each."""
    return decoded if decoded.isascii() else decoded.encode("utf-8", "surrogatepass").decode("latin-1")


def decode_path(encoded: str) -> str:
    """Return an encoded path as an environ holds it, decoded once; `%2F` becomes a slash, as under gunicorn."""
    if "%" not in encoded and encoded.isascii():
        return encoded
    return unquote_to_bytes(encoded).decode("latin-1")


def raw_path(decoded: str) -> str:
    """Return an encoded form of a decoded path; what the client had encoded needlessly is not known any more."""
    return quote(decoded, safe="/!$&'()*+,;=:@~", errors="surrogatepass") if _NOT_IN_A_PATH(decoded) else decoded


def split_stage(path: str, stage: str) -> tuple[str, str]:
    """Split the stage off a path, on whole segments only: `/prod/x` is split at `prod`, `/product` is not.

    Returns:
        The prefix, empty when the path does not begin with the stage, and the rest, which begins with a slash.
    """
    prefix = "/" + stage
    if not stage or stage == "$default" or not path.startswith(prefix):
        return "", path
    rest = path[len(prefix) :]
    if not rest:
        return prefix, "/"
    return (prefix, rest) if rest[0] == "/" else ("", path)


def route_prefix(path: str, route: str, parameters: Mapping[str, str]) -> str:
    """Return what a path has before the part that its route matched: a custom domain's base path.

    Args:
        path: the path, from its first slash.
        route: the route's template, such as `/orders/{id}` or `/{proxy+}`.
        parameters: the values that the platform found for the template's names.

    Returns:
        The prefix without a slash at its end; empty without one, or when it cannot be determined.
    """
    if not route.startswith("/") or any(name not in parameters for name in _PARAMETER.findall(route)):
        return ""
    matched = _PARAMETER.sub(lambda found: parameters[found[1]].strip("/"), route).rstrip("/")
    for whole, tail in ((path.rstrip("/"), matched), (unquote(path).rstrip("/"), unquote(matched))):
        prefix = whole[: len(whole) - len(tail)]
        if whole.endswith(tail) and prefix.startswith("/") and path.startswith(prefix):
            return prefix
    return ""


def encode_query(parameters: Mapping[str, list[str] | None]) -> str:
    """Return the query string of decoded parameters: repeated names and empty values are kept, in their order."""
    pairs = []
    for name, values in parameters.items():
        encoded_name = quote(name, safe="", errors="surrogatepass") if _NOT_IN_A_QUERY(name) else name
        for value in values or ("",):
            text = value or ""
            encoded = quote(text, safe="", errors="surrogatepass") if _NOT_IN_A_QUERY(text) else text
            pairs.append(f"{encoded_name}={encoded}")
    return "&".join(pairs)
