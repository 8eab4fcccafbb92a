"""The documentation as a site: it builds without a warning, and no link or asset of it is missing or from elsewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
_LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}

pytestmark = pytest.mark.docs


class Page(HTMLParser):
    """What a page is linked with: its anchors, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values: Mapping[str, str | None] = dict(attrs)
        self.anchors |= {one for one in (values.get("id"), values.get("name")) if one}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        target = values.get(_LOADS.get(tag, ""))
        if target and values.get("rel") not in {"prev", "next", "canonical"}:
            self.loads.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_of_the_site_leads_to_a_page_and_a_place_in_it(pages: dict[Path, Page]) -> None:
    """A reader meets no 404, and no link that ends at the top of a long page."""
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (target in pages and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{path.name}: {link}")

    assert len(pages) > 20
    assert broken == []


def test_the_site_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    """It can be read offline, and makes no request to another site."""
    loads = [f"{path.name}: {target}" for path, page in pages.items() for target in page.loads]
    styles = [sheet.read_text("utf-8") for sheet in site.rglob("*.css")]

    assert [one for one in loads if "//" in one] == []
    assert [one for style in styles for one in re.findall(r"url\(\s*[\"']?((?:https?:)?//[^)]+)\)", style)] == []
    assert all((path.parent / urlsplit(target).path).exists() for path, page in pages.items() for target in page.loads)


def test_the_site_can_be_searched_and_darkened(site: Path) -> None:
    """The index of words is there, and both palettes."""
    index = (site / "search" / "search_index.json").read_text("utf-8")
    start = (site / "index.html").read_text("utf-8")

    assert "synchronous" in index
    assert "md-search__input" in start
    assert 'data-md-color-scheme="slate"' in start
    assert 'data-md-color-scheme="default"' in start


def test_the_navigation_has_the_pages_own_titles(site: Path) -> None:
    """One tab for each part; a reference page is called as it calls itself."""
    start = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", (site / "reference" / "http.html").read_text("utf-8")))

    assert all(f" {title} " in start for title in ("Tutorial", "How to", "Concepts", "Reference", "HTTP", "Log lines"))


def test_no_fence_is_left_as_it_is_written(pages: dict[Path, Page], site: Path) -> None:
    """A fence that the site cannot read would be shown as a line of text."""
    assert [path.name for path in pages if "<code>python no-run" in path.read_text("utf-8")] == []
    assert not (site / "site.py").exists()
