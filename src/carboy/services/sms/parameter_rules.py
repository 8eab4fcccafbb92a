r"""Rules for the parameters of a template: their length, their form, no addresses of the web. Nothing here does I/O.

[default.sms.templates.captcha]
params = {code = {max_length = 8, pattern = "\d+"}}
allow_urls = false
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_PARAM_CHARS = 1000
_TOP = (
    "com|net|org|info|biz|io|co|cn|hk|tw|ru|xyz|top|link|click|me|ly|gl|app|dev|shop|online|site|club|vip|cc|tk|ml|ga|cf|"
    "gq|in|uk|de|fr|us|eu|tv|ws|nl|it|es|pl|jp|kr|br|au|ca|ch|at|se|no|fi|id|vn|th|my|sg|store|live|fun|icu|work|buzz|to"
)
_IDN_TOP = "中国|中國|公司|网络|網絡|网址|在线|中文网|商城|网店|集团|我爱你|рф|онлайн|сайт|укр|भारत|한국|台灣|台湾|香港"
_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://|\bwww\.|\b(?:\d{1,3}\.){3}\d{1,3}(?:[:/]|\b)|"
    rf"[^\W_](?:[\w-]*[^\W_])?\.(?:(?:{_TOP})\b|xn--[\w-]+|[^\W\d_]{{2,24}}(?=[/?#:]))",
    re.IGNORECASE,
)
_IDN_URL = re.compile(rf"[^\W_]\.(?:{_IDN_TOP})\b")  # with a plain dot, as `。` ends a sentence
_DOTS = str.maketrans("。｡．", "...")


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """What a parameter's value must keep.

    Attributes:
        max_length: in characters.
        pattern: a regular expression for the whole value; None for any.
    """

    max_length: int = MAX_PARAM_CHARS
    pattern: re.Pattern[str] | None = None

    def fault(self, value: str) -> str:
        """Return what is wrong with a value; empty for nothing."""
        if len(value) > self.max_length:
            return f"it is longer than {self.max_length} characters"
        if self.pattern is not None and not self.pattern.fullmatch(value):
            return f"it does not match the pattern {self.pattern.pattern}"
        return ""


def has_url(text: str) -> bool:
    """Return whether a text has an address of the web, with a scheme or without, hidden characters removed."""
    kept = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
    return _URL.search(kept.translate(_DOTS)) is not None or _IDN_URL.search(kept.lower()) is not None


def read_rule(table: Mapping[str, Any]) -> ParameterRule:
    """Return the rule of a table without `rule_faults`."""
    pattern = table.get("pattern")
    return ParameterRule(int(table.get("max_length", MAX_PARAM_CHARS)), re.compile(pattern) if pattern else None)


def rule_faults(table: Any) -> Iterator[str]:
    """Yield what is wrong with a rule's table."""
    if not isinstance(table, Mapping):
        yield "must be a table with `max_length` and `pattern`"
        return
    for name in sorted(set(table) - {"max_length", "pattern"}):
        yield f"has `{name}`, which is no rule; there are max_length, pattern"
    longest = table.get("max_length", 1)
    if isinstance(longest, bool) or not isinstance(longest, int) or not 1 <= longest <= MAX_PARAM_CHARS:
        yield f"has a `max_length` that is not from 1 to {MAX_PARAM_CHARS}"
    pattern = table.get("pattern", "")
    try:
        if not isinstance(pattern, str):
            raise re.error("it is not a text")
        re.compile(pattern)
    except re.error as error:
        yield f"has a `pattern` that does not compile: {error}"
