"""Docstrings and the documentation use the field's words; CONTRIBUTING.md has the glossary."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFUSED = re.compile(
    r"\b(told|tells?|anew|whoever|somebody|nobody|anybody|mend(?:s|ed)?|(?-i:is none|are none)|the gone|"
    r"silence|wish(?:es)?|hands|door|brake|hurried)\b",
    re.IGNORECASE,
)
REFUSED_IN_PROSE = re.compile(
    REFUSED.pattern + r"|\b(telling|everybody|mending|time-outs?|texts|held|upkeep|for ever|gone"
    r"|(?:is|are|was|were|be|been|being) away|closed (?:configuration |encrypted )?(?:files?|form))\b",
    re.IGNORECASE,
)
# What is quoted: the glossary's own list, a status of HTTP.
QUOTES = re.compile(r"Words to avoid, with.*?(?:\n\n|\Z)|410 Gone", re.DOTALL)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "changelog.d").glob("*.md")),
    *sorted(
        page for page in (ROOT / "docs").rglob("*.md") if not {"reference", "zh"} & set(page.relative_to(ROOT).parts)
    ),
]
Docstring = tuple[str, str]
_NOT_PROSE = re.compile(
    r"^(?P<indent> *)```.*?^(?P=indent)```$|^<!--.*?^-->$|^    \S[^\n]*$|`[^`]*`|\]\([^)]*\)|<https?:[^>]*>",
    re.MULTILINE | re.DOTALL,
)


def docstrings(folder: str) -> Iterator[Docstring]:
    """Yield the place and the text of each line of the docstrings below a folder."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                for line in (text or "").splitlines():
                    yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", line


def refused_words(markdown: str) -> list[tuple[int, str]]:
    """Return the line and the text of each refused word in a page's prose; code, links and quotes are left out."""
    for pattern in (_NOT_PROSE, QUOTES):
        markdown = pattern.sub(lambda match: "\n" * match[0].count("\n") or "…", markdown)
    return [(markdown.count("\n", 0, match.start()) + 1, match[0]) for match in REFUSED_IN_PROSE.finditer(markdown)]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["src", "benchmarks", "docs/tools", "tests"])
def test_docstrings_use_the_words_of_the_field(folder: str) -> None:
    """A word without a use in the field hides a function from a search for it."""
    found = [f"{place}: {line}" for place, line in docstrings(folder) if REFUSED.search(line)]

    assert found == []


def test_the_documentation_uses_the_words_of_the_field() -> None:
    """A reader needs no dictionary of Carboy's own."""
    found = [
        f"{page.relative_to(ROOT)}:{line}: {word}" for page in PAGES for line, word in refused_words(page.read_text())
    ]

    assert found == []


def test_a_refused_word_is_found() -> None:
    """The pattern finds the words that it is there for, and leaves words that merely contain them."""
    assert REFUSED.search("Return whether the server is told.")
    assert REFUSED.search("Return a date; None where it is none.")
    assert not REFUSED.search("Return whether the date is None.")
    assert not REFUSED.search("Recommend the threshold for shareholders in the intellect.")


def test_a_refused_word_is_found_in_prose_only() -> None:
    """Code, addresses of links, and longer words are no prose; lines are those of the page."""
    page = "# A door\n\n```text\ntold\n```\n\nThe `held` state, [see](away.md#told), at 410 Gone.\nThe server is away."

    assert refused_words(page) == [(1, "door"), (8, "is away")]
    assert refused_words("A threshold, a handshake, a context, going away from it, once a connection is closed.") == []
