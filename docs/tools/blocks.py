"""Write docs/contributing/blocks.md: what a test does with each kind of block, and the blocks that no test runs.

python -m docs.tools.blocks
"""

from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import PAGES, ROOT, Block, blocks, name

PAGE = ROOT / "docs" / "contributing" / "blocks.md"
_HEAD = """# What the documentation's tests run

`python -m docs.tools.blocks` writes this page; `tests/docs/test_not_run.py` checks it.

| block | what a test does with it |
| --- | --- |
| `python` | runs it; on a page with commands, between them |
| `sh` | runs it as printed, in one shell for each page, and compares the output with the `text` block that follows |
| `title="…"`, any language | writes the file, which the other blocks of the page use |
| `console` | checks that each `carboy …` is a command with these options |
| `toml` of `carboy.toml` | reads it, and checks that every name is a setting |
| other `toml`, `json`, `yaml` | reads it |
| `sql`, `nginx`, `ini`, `dockerfile` | nothing: these are excerpts |

## Blocks that no test runs

| page | block | why |
| --- | --- | --- |
"""


def not_run() -> Iterator[tuple[Path, Block]]:
    """Yield every block that is marked `no-run`, with its page."""
    for page in PAGES:
        yield from ((page, block) for block in blocks(page) if not block.is_run)


def render_page() -> str:
    """Return the page."""
    rows = [f"| {_link(page)} | `{_first_line(block)}` | {block.reason} |" for page, block in not_run()]
    return _HEAD + "\n".join([*rows, ""])


def _link(page: Path) -> str:
    target = "../../README.md" if page.parent == ROOT else f"../{page.relative_to(ROOT / 'docs').as_posix()}"
    return f"[{name(page).removeprefix('docs/')}]({target.removeprefix('../contributing/')})"


def _first_line(block: Block) -> str:
    line = " ".join(block.text.strip().splitlines()[0].split("  ")[0].split())
    return line.rstrip(" \\").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
