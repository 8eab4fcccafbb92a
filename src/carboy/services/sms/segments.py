"""SMS segments: count the parts of a text in GSM 03.38 and UCS-2, and downgrade it to GSM. Nothing here does I/O."""

import unicodedata
from typing import NamedTuple

from carboy.errors import InvalidInput

MAX_PARTS = 255
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
_ALPHABET = _BASIC | _EXTENDED
_GSM = (160, 153)
_UCS2 = (70, 67)
_PLAIN = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035\u0060\u00b4\u02bc\u02b9", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u02ba", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\ufe58\ufe63", "-"),
    **dict.fromkeys("\u2039", "<"),
    **dict.fromkeys("\u203a", ">"),
    **dict.fromkeys("\u2022\u2023\u00b7\u2027\u2219", "*"),
    "\u2026": "...",
    "\u2044": "/",
    "\u00a9": "(c)",
    "\u00ae": "(r)",
    "\u2122": "(tm)",
    "\t": " ",
}
_DROPPED = "\u00ad\u034f\ufe0e\ufe0f"


class MessageTooLong(InvalidInput):
    """A text needs more than 255 parts."""


class Count(NamedTuple):
    """The size of a text: `units` of the `alphabet` (`gsm` or `ucs2`), in `parts` parts."""

    alphabet: str
    units: int
    parts: int


def segments(text: str, *, ucs2: bool = False) -> int:
    """Return how many SMS parts a text needs, from 1 to 255.

    Text in the GSM 03.38 alphabet fits 160 septets in one part, or 153 in each of several. Any other character moves
    the whole text to UCS-2: 70 or 67 UTF-16 code units. No character is split between two parts.

    Args:
        text: the message as it will be read; may be empty.
        ucs2: count in UCS-2 whatever the characters are, as carriers of mainland China bill.

    Raises:
        MessageTooLong: the text needs more than 255 parts.

    Source: 3GPP TS 23.038, section 6.2.1; 3GPP TS 23.040, section 9.2.3.24.1.
    """
    return count_parts(text, ucs2=ucs2).parts


def billed_in_china(text: str, sign: str) -> int:
    """Return how many parts carriers of mainland China bill: in UCS-2, with the sign 【…】 before the text.

    Args:
        text: the message without its sign.
        sign: of the sender; empty if it is not known.

    Raises:
        MessageTooLong: the text needs more than 255 parts.

    Source: help.aliyun.com, "Billing of Chinese mainland SMS"; cloud.tencent.com, "Domestic SMS content length".
    """
    bare = sign.removeprefix("【").removesuffix("】")
    return segments(f"【{bare}】{text}" if bare else text, ucs2=True)


def count_parts(text: str, *, ucs2: bool = False) -> Count:
    """Return the alphabet, units and parts of a text; see `segments`."""
    is_gsm = not ucs2 and _ALPHABET.issuperset(text)
    sizes = [2 if (one in _EXTENDED if is_gsm else one > "\uffff") else 1 for one in text]
    single, several = _GSM if is_gsm else _UCS2
    units = sum(sizes)
    parts = 1 if units <= single else _pack(sizes, several)
    if parts > MAX_PARTS:
        raise MessageTooLong("the text is too long", f"it needs {parts} parts", f"a message has at most {MAX_PARTS}")
    return Count("gsm" if is_gsm else "ucs2", units, parts)


def _pack(sizes: list[int], room: int) -> int:
    """Return how many parts are needed when no pair of units is split."""
    parts, left = 1, room
    for size in sizes:
        if size > left:
            parts, left = parts + 1, room
        left -= size
    return parts


def downgrade_to_gsm(text: str) -> str:
    """Return a text with typographic characters replaced by those of GSM 03.38.

    One curly quote moves a whole message to UCS-2, where a part has 70 characters and not 160.

    The text is normalized (NFC) first, so that a letter and its combining accent are one character. Zero-width
    characters and soft hyphens are dropped; any kind of blank becomes a space. What has no plain form stays.

    Source: 3GPP TS 23.038, section 6.2.1; Unicode Standard, chapter 6.
    """
    return "".join(map(_replace, unicodedata.normalize("NFC", text)))


def _replace(one: str) -> str:
    if one in _ALPHABET:
        return one
    if one in _DROPPED or unicodedata.category(one) == "Cf":
        return ""
    if one in _PLAIN:
        return _PLAIN[one]
    return " " if unicodedata.category(one) in {"Zs", "Zl", "Zp"} else one
