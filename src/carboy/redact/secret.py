"""A text that never shows itself by accident."""

import hmac
from typing import NoReturn, final

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
        return hmac.compare_digest(utf8(self._text), utf8(other._text))

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


def utf8(text: str) -> bytes:
    """Return a text's bytes, also where it holds what UTF-8 cannot."""
    return text.encode("utf-8", "surrogatepass")
