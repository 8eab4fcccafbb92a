"""Downgrade of text to the GSM 03.38 alphabet: typographic characters become plain ones. Nothing here does I/O.

One curly quote moves a whole message to UCS-2, where a part has 70 characters and not 160.
"""

import unicodedata

from carboy.services.sms.segments import is_gsm_character

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


def downgrade_to_gsm(text: str) -> str:
    """Return a text with typographic characters replaced by those of GSM 03.38.

    The text is normalized (NFC) first, so that a letter and its combining accent are one character. Zero-width
    characters and soft hyphens are dropped; any kind of blank becomes a space. What has no plain form stays.

    Source: 3GPP TS 23.038, section 6.2.1; Unicode Standard, chapter 6.
    """
    return "".join(map(_replace, unicodedata.normalize("NFC", text)))


def _replace(one: str) -> str:
    if is_gsm_character(one):
        return one
    if one in _DROPPED or unicodedata.category(one) == "Cf":
        return ""
    if one in _PLAIN:
        return _PLAIN[one]
    return " " if unicodedata.category(one) in {"Zs", "Zl", "Zp"} else one
