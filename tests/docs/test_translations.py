"""The Chinese pages keep step with the English ones: the same headings and code, and links that lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRANSLATED = {
    ROOT / "README.zh-CN.md": ROOT / "README.md",
    **{page: ROOT / "docs" / page.relative_to(ROOT / "docs" / "zh") for page in (ROOT / "docs" / "zh").rglob("*.md")},
}
_FENCE = re.compile(r"^```[^\n]*\n.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
pytestmark = pytest.mark.docs


def _headings(text: str) -> list[str]:
    """Return the levels of a page's headings, with the step's number where it has one."""
    prose = _FENCE.sub("", text)
    return [f"{level} {number}" for level, number in re.findall(r"^(#+) (\d*)", prose, re.MULTILINE)]


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_translated_page_has_the_headings_and_the_code_of_its_original(page: Path) -> None:
    """What a reader does and sees is the same in both languages; a change to one page needs the other changed."""
    translated, original = page.read_text("utf-8"), TRANSLATED[page].read_text("utf-8")

    assert _headings(translated) == _headings(original)
    assert _FENCE.findall(translated) == _FENCE.findall(original)


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_translated_page_lead_to_a_page(page: Path) -> None:
    """They are relative to where it stands."""
    links = [link for link in _LINK.findall(page.read_text("utf-8")) if "://" not in link]

    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert all(page.is_file() for page in TRANSLATED.values())


def test_the_tutorials_are_translated() -> None:
    """Each of them, and the README."""
    assert {page.name for page in (ROOT / "docs" / "tutorial").glob("*.md")} == {
        page.name for page in TRANSLATED if page.parent.name == "tutorial"
    }
