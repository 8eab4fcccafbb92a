"""MkDocs hooks: read the navigation from `index.md`, and remove what is for the tests from the fences."""

import re
from pathlib import Path
from typing import Any

_LINE = re.compile(r"^(?P<marks>#{2,3}) (?P<title>.+)$|\]\((?P<page>(?:[a-z-]+/)+[a-z0-9-]+\.md)\)", re.MULTILINE)

_FIRST = "\n## Tutorial"  # what stands before it on the start page is not navigation
_RUNBOOKS = "how-to/runbooks/index.md"


def on_config(config: Any) -> Any:
    """Make the navigation: a tab for each `##` of the index, a section for each `###`, the pages in their order."""
    docs = Path(config.docs_dir)
    _, _, listed = (docs / "index.md").read_text("utf-8").partition(_FIRST)
    config.nav = [{"Start": "index.md"}, *read_nav(_FIRST + listed)]
    decisions = sorted(page.relative_to(docs).as_posix() for page in docs.glob("contributing/adr/0*.md"))
    next(part["Contributing"] for part in config.nav if "Contributing" in part).append(
        {"Decisions": ["contributing/adr/index.md", *decisions]}
    )
    _add_runbooks(config.nav, sorted(page.relative_to(docs).as_posix() for page in docs.glob("how-to/runbooks/*.md")))
    return config


def _add_runbooks(nav: list[Any], pages: list[str]) -> None:
    """Put the runbooks behind the page that lists them."""
    how_to = next(part["How to"] for part in nav if "How to" in part)
    for section in (part for parts in how_to if isinstance(parts, dict) for part in parts.values()):
        if _RUNBOOKS in section:
            section[section.index(_RUNBOOKS)] = {
                "Runbooks": [_RUNBOOKS, *(page for page in pages if page != _RUNBOOKS)]
            }


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Drop the words of a fence that are for the tests, and links to files of the repository that are no pages."""
    markdown = re.sub(r"\[([^\]]+)\]\((?:\.\./){2}[^)]*\)", r"\1", markdown)
    return re.sub(r"^( *```[a-z]+)(?: no-run| stays)$", r"\1", markdown, flags=re.MULTILINE)


def read_nav(index: str) -> list[dict[str, Any]]:
    """Return the navigation that a text with headings and links says; each page once, where it is first linked."""
    tabs: list[dict[str, Any]] = []
    entries: list[Any] = []
    seen = {""}
    for match in _LINE.finditer(index):
        page = match["page"] or ""
        if match["marks"] == "##":
            tabs.append({match["title"]: (entries := [])})
        elif match["marks"]:
            section: list[Any] = []
            entries = next(iter(tabs[-1].values()))
            entries.append({match["title"]: section})
            entries = section
        elif page not in seen and tabs:
            seen.add(page)
            entries.append(page)
    return tabs
