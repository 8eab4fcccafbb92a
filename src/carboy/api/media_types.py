"""Compare media types by type and subtype, as the keys of `content` and the header `Content-Type` name them.

Source: RFC 9110, sections 8.3.1 and 12.5.1; RFC 6838, section 4.2.8 (suffixes).
"""

from collections.abc import Callable, Iterable

from werkzeug.http import parse_options_header

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_LINES = frozenset(f"application/{name}" for name in ("jsonl", "x-jsonlines", "x-ndjson", "ndjson", "json-seq"))


def kind_of(text: str) -> str:
    """Return the type and subtype of a media type in lower case, without its parameters."""
    return text.partition(";")[0].strip().lower()


def is_json(text: str) -> bool:
    """Return whether a media type, or every media type of a range such as `application/*+json`, is JSON."""
    kind = kind_of(text)
    return kind in {"application/json", "text/json"} or kind.endswith("+json")


def is_json_lines(text: str) -> bool:
    """Return whether a media type is a sequence of JSON texts, such as JSON Lines."""
    return kind_of(text) in _LINES


def matches(kind: str, wanted: str) -> bool:
    """Return whether a type and subtype is within a media range: `text/*`, `application/*+json`, or itself."""
    start, star, end = wanted.partition("*")
    if not star:
        return kind == wanted
    return wanted == "*/*" or (
        len(kind) > len(start) + len(end) and kind.startswith(start) and kind.endswith(end.removeprefix("/*"))
    )


def matcher(keys: Iterable[str]) -> Callable[[str], str | None]:
    """Return the function that finds the key of `content` for a header; None when no key matches.

    Of several keys of one type, the one that shares most parameters with the header wins; then the narrower range.
    """
    exact: dict[str, list[tuple[str, frozenset[tuple[str, str]]]]] = {}
    ranges: list[tuple[str, str]] = []
    for key in keys:
        kind = kind_of(key)
        if "*" in kind:
            ranges.append((kind, key))
        else:
            exact.setdefault(kind, []).append((key, _parameters(key)))
    ranges.sort(key=lambda one: -len(one[0].replace("*", "")))

    def find(header: str) -> str | None:
        kind = kind_of(header)
        candidates = exact.get(kind)
        if candidates is None:
            return next((key for wanted, key in ranges if matches(kind, wanted)), None)
        if len(candidates) == 1:
            return candidates[0][0]
        given = _parameters(header)
        return max(candidates, key=lambda one: (len(one[1] & given), -len(one[1] - given)))[0]

    return find


def _parameters(text: str) -> frozenset[tuple[str, str]]:
    found = parse_options_header(text)[1]
    return frozenset((name.lower(), value.lower()) for name, value in found.items())
