"""The languages of the console: which one a request wants, and the texts in it (gettext)."""

import gettext
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES: Mapping[str, str] = {"en": "English", "zh-Hans": "简体中文"}
"""The languages that there are, by their BCP 47 tag, each by its own name."""

COOKIE = "carboy_language"
OWN = Path(__file__).parent / "translations"


def choose_language(accept: Sequence[tuple[str, float]], wanted: str | None = None) -> str:
    """Return the best of our languages.

    Args:
        accept: the tags of `Accept-Language` with their weights.
        wanted: what the visitor chose; it counts more.
    """
    if wanted is not None and wanted in LANGUAGES:
        return wanted
    for tag, weight in sorted(accept, key=lambda one: -one[1]):
        base = tag.lower().replace("_", "-").partition("-")[0]
        if weight > 0 and base in {"en", "zh"}:
            return "zh-Hans" if base == "zh" else "en"
    return "en"


@cache
def translations(language: str, folders: tuple[Path, ...] = ()) -> gettext.NullTranslations:
    """Return the texts of a language: the toolkit's own, then those of the modules' folders.

    Args:
        language: one of `LANGUAGES`.
        folders: each with `zh_Hans/LC_MESSAGES/console.mo`.
    """
    if language == "en":
        return gettext.NullTranslations()
    found: Any = gettext.NullTranslations()
    for folder in dict.fromkeys((*reversed(folders), OWN)):
        one = gettext.translation("console", folder, [language.replace("-", "_")], fallback=True)
        one.add_fallback(found)
        found = one
    return found  # type: ignore[no-any-return]
