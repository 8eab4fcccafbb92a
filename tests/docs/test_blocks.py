"""What the documentation prints in Python runs as printed: the blocks of a page in turn, in one process.

A block that cannot run alone is fenced as `python no-run` and says why beside it.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s]+)(#[^)\s]*)?\)")

pytestmark = pytest.mark.docs


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [one for one in PAGES if _BLOCK.search(one.read_text("utf-8"))], ids=_name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """A reader who pastes them sees no error."""
    script = tmp_path / "blocks.py"
    script.write_text("\n\n".join(_BLOCK.findall(page.read_text("utf-8"))), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Within the repository; addresses elsewhere are not asked."""
    targets = [match[1] for match in _LINK.finditer(page.read_text("utf-8")) if "://" not in match[1]]

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_of_how_to_is_in_the_index() -> None:
    """A page that no other names is found by nobody."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")

    assert [
        page.name for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md" and page.name not in index
    ] == []
