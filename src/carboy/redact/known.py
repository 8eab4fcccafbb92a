"""The values that are known to be secret, found wherever they appear in a text, also escaped or percent-encoded."""

import json
import os
import threading
from sys import byteorder
from urllib.parse import quote, quote_plus

from carboy.redact.secret import MASK, Secret, utf8

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
                self._has_short = self._has_short or len(utf8(form)) < _SHORT_BYTES
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
        raw = utf8(text)
        if not self.may_be_in(raw):
            return text
        seen = {*_windows(raw, 0), *_windows(raw, _WINDOW // 2)}
        forms = {form for window in seen for form in self.forms_at.get(window, ())}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text


def _forms(text: str) -> tuple[str, ...]:
    """Return the text as it stands in plain text, JSON, Python's repr and URLs; each form once."""
    raw = utf8(text)
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


def _first_windows(form: str) -> set[int]:
    raw = utf8(form)
    return {int.from_bytes(raw[at : at + _WINDOW], byteorder) for at in range(min(_WINDOW, len(raw) - _WINDOW + 1))}


def _windows(raw: bytes, start: int) -> memoryview:
    end = len(raw) - (len(raw) - start) % _WINDOW
    return memoryview(raw)[start : max(start, end)].cast("I")


KNOWN = _Known()
os.register_at_fork(after_in_child=KNOWN.renew_lock)


def register_secret(value: str | Secret) -> None:
    """Mask this value from now on wherever it appears in text, also escaped or percent-encoded.

    Values under 6 characters are passed over: they would mask half of every text. The latest 4,096 values are kept.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    if len(text) >= _MIN_CHARS:
        KNOWN.add(text)


def forget_secrets() -> None:
    """Forget every registered value; for tests, which share a process."""
    KNOWN.clear()
