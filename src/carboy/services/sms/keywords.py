"""Keywords of inbound messages: STOP, which opts out, and START, which resumes. Nothing here does I/O."""

import unicodedata
from collections.abc import Collection, Iterator
from typing import Literal

from carboy.errors import Fault

Keyword = Literal["stop", "start"]
START_WORDS = ("START", "UNSTOP")
_AROUND = "ZPSC"  # categories of blanks, punctuation, symbols with emoji, and control characters


def read_keyword(text: str, stop_words: Collection[str]) -> Keyword | None:
    """Return what an inbound message asks for: `stop`, `start`, or nothing.

    The whole message must be the word; case, width, blanks and the punctuation or emoji around it do not matter.
    """
    word = _plain(text)
    if not word:
        return None
    if word in {_plain(one) for one in stop_words}:
        return "stop"
    return "start" if word in START_WORDS else None


def keyword_faults(stop_words: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of `SMS_STOP_WORDS`."""
    for one in stop_words:
        word = _plain(one)
        if not word:
            yield Fault("SMS_STOP_WORDS", f"`{one}` has no letters or digits, so that no message can be it")
        elif word in START_WORDS:
            yield Fault("SMS_STOP_WORDS", f"`{one}` opts in again")


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).upper()
    kept = "".join(one for one in folded if not _is_invisible(one))
    start, end = 0, len(kept)
    while start < end and unicodedata.category(kept[start])[0] in _AROUND:
        start += 1
    while end > start and unicodedata.category(kept[end - 1])[0] in _AROUND:
        end -= 1
    return " ".join(kept[start:end].split())


def _is_invisible(one: str) -> bool:
    """Return whether a character only changes how others look: format characters, variation selectors, keycaps."""
    return unicodedata.category(one) in {"Cf", "Me"} or "\ufe00" <= one <= "\ufe0f"
