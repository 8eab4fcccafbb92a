"""The first line of every docstring uses the field's words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFUSED = re.compile(
    r"\b(told|tells?|anew|whoever|somebody|nobody|anybody|mend(?:s|ed)?|is none|are none|the gone|"
    r"silence|wish(?:es)?|hands|door|brake|hurried)\b",
    re.IGNORECASE,
)
Docstring = tuple[str, str]


def docstrings(folder: str) -> Iterator[Docstring]:
    """Yield the place and the first line of each docstring below a folder."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text.splitlines()[0]


@pytest.mark.parametrize("folder", ["src", "benchmarks", "docs/tools", "tests"])
def test_first_lines_use_the_words_of_the_field(folder: str) -> None:
    """A word without a use in the field hides a function from a search for it."""
    found = [f"{place}: {line}" for place, line in docstrings(folder) if REFUSED.search(line)]

    assert found == []


def test_a_refused_word_is_found(tmp_path: Path) -> None:
    """The pattern finds the words that it is there for, and leaves words that merely contain them."""
    assert REFUSED.search("Return whether the server is told.")
    assert REFUSED.search("Return a date; None where it is none.")
    assert not REFUSED.search("Recommend the threshold for shareholders in the intellect.")
