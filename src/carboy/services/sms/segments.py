"""SMS segments: count the parts of a text in GSM 03.38 and UCS-2. Nothing here does I/O."""

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


class MessageTooLong(InvalidInput):
    """A text needs more than 255 parts."""


class Count:
    """The size of a text: `units` of the `alphabet` (`gsm` or `ucs2`), in `parts` parts."""

    __slots__ = ("alphabet", "parts", "units")

    def __init__(self, alphabet: str, units: int, parts: int) -> None:
        self.alphabet: str = alphabet
        self.units: int = units
        self.parts: int = parts


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


def is_gsm_character(one: str) -> bool:
    """Return whether a character is in the GSM 03.38 alphabet or its extension."""
    return one in _ALPHABET


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
