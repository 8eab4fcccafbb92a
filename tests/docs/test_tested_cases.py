"""The page of tested cases names tests that exist, or says what was tried by hand."""

import ast
import re

import pytest
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "contributing" / "tested-cases.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


_SECTIONS = [section.partition("\n")[::2] for section in PAGE.read_text().split("\n## ")[1:]]


@pytest.mark.slow
@pytest.mark.parametrize(("title", "text"), _SECTIONS)
def test_every_test_that_the_page_names_exists(title: str, text: str) -> None:
    for path, name in _NAMED.findall(text):
        tree = ast.parse((ROOT / path).read_text())
        assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.walk(tree)), (
            title,
            path,
            name,
        )


@pytest.mark.parametrize(("title", "text"), _SECTIONS)
def test_every_line_names_a_test_or_says_that_it_was_tried_by_hand(title: str, text: str) -> None:
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith(("| Variant", "| ---")):
            assert _NAMED.search(line) or "by hand" in line, (title, line)
