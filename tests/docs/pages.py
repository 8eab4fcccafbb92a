"""What a page of the documentation holds: its fenced blocks, in turn.

- ```` ```python ```` is run; with `title="app.py"`, as with any other language, it is a file that is written.
- ```` ```sh ```` is run, as is a file; what follows it as ```` ```text ```` is what it prints, where `…` is anything.
- ```` ```sh stays ```` is a program in a terminal of its own: it goes on until its like is started, or the page ends.
- `<!-- run … -->` is Python that is run and not shown: what a reader has of his own, such as an application; with
  `<!-- run with aws` it finds moto's server as `aws`.
- `no-run` after the language keeps a block from all of that; `<!-- not run: … -->` on the line before it says why.
  docs/contributing/blocks.md lists these blocks.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
_TRANSLATED = ROOT / "docs" / "zh"  # has the code of the English pages; see test_translations
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if _TRANSLATED not in page.parents)]
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]*) -->\n)?(?P<indent> *)```(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_HIDDEN = re.compile(r"^<!-- run(?P<aws> with aws)?\n(?P<text>.*?)^-->$", re.MULTILINE | re.DOTALL)
_AWS = """
import atexit
import os
from contextlib import ExitStack

from carboy.testing.processes import moto_server

cloud = ExitStack()
atexit.register(cloud.close)
aws = cloud.enter_context(moto_server())
os.environ.update(aws.environment)
"""
_PORT = re.compile(r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d{4,5})\b|--port (\d{4,5})\b")
_SERVES = "Ctrl-C stops|Running on|Booting worker|is ready|start worker process"
_COMMAND = re.compile(r"^(?:\$ |    )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?carboy (?P<words>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    words: tuple[str, ...]
    title: str
    text: str
    reason: str = ""

    @property
    def is_run(self) -> bool:
        return "no-run" not in self.words


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text("utf-8")
    found = {match.start(): _block(match) for match in _FENCE.finditer(text)}
    for match in _HIDDEN.finditer(text):
        found[match.start()] = Block("python", (), "", (_AWS if match["aws"] else "") + match["text"])
    return [found[at] for at in sorted(found)]


def _block(match: re.Match[str]) -> Block:
    language, *words = match["info"].split() or [""]
    title = next((word[7:-1] for word in words if word.startswith('title="')), "")
    plain = tuple(word for word in words if "=" not in word)
    return Block(language, plain, title, dedent(match["text"]), match["reason"] or "")


def name(page: Path) -> str:
    """Return how a test calls a page."""
    return str(page.relative_to(ROOT))


def python_of(page: Path) -> list[Block]:
    """Return the blocks that run in one process, where a page has no commands."""
    found = [block for block in blocks(page) if block.is_run]
    if any(block.language == "sh" for block in found):
        return []
    return [block for block in found if block.language == "python"]


def is_walk(page: Path) -> bool:
    """Say whether a page has commands that are run."""
    return any(block.language == "sh" and block.is_run for block in blocks(page))


def walk(page: Path) -> str:
    """Return the script that does what a reader of a page does, in one shell."""
    lines = ["set -euo pipefail", "exec 2>&1", "declare -A stays=()"]
    for number, block in enumerate(blocks(page)):
        lines.append(f"echo; echo '@@@ {number}'")
        if not block.is_run:
            continue
        if block.title:
            folder = Path(block.title).parent
            lines += [f"mkdir -p {folder}", f"cat > {block.title} <<'@@@'", block.text.rstrip("\n"), "@@@"]
        elif "stays" in block.words:
            lines += _stays(block.text, number)
        elif block.language == "sh":
            lines.append(_here(block.text.rstrip("\n")))
        elif block.language == "python":
            lines += ["python - <<'@@@'", block.text.rstrip("\n"), "@@@"]
    return "\n".join([*lines, "echo; echo '@@@ end'", ""])


def _here(text: str) -> str:
    """Return the commands of a page for a clone as they are for a test, which has its own folder and environment."""
    text = re.sub(r"carboy serve(?!.*--port)", "carboy serve --port 8000", text.replace("make run", "carboy serve"))
    text = text.replace(".venv/bin/", "")
    return re.sub(r"(?<![\w/])examples/", '"$REPOSITORY"/examples/', text).replace('@"$REPOSITORY"', "@$REPOSITORY")


def _stays(text: str, number: int) -> Iterator[str]:
    """Yield what starts a program that goes on, once its like has stopped, and waits until it says that it serves."""
    like = shlex.quote(" ".join(text.split()[:2]))
    log = f"stays-{number}.log"
    yield f'if [ -n "${{stays[{like}]:-}}" ]; then kill "${{stays[{like}]}}"; wait "${{stays[{like}]}}" || true; fi'
    yield f"( exec env {_here(text.strip())} ) > {log} 2>&1 & stays[{like}]=$!"
    yield f"until grep -qE '{_SERVES}' {log}; do"
    yield f"kill -0 $! || {{ cat {log}; exit 1; }}; sleep 0.1; done"
    yield f"cat {log}"


def said(page: Path, output: str) -> Iterator[tuple[str, str]]:
    """Yield, for each block of output on a page, what it says and what was printed."""
    printed = dict(zip(*_split(output), strict=True))
    found = blocks(page)
    for number, (block, after) in enumerate(pairwise(found)):
        if block.language == "sh" and block.is_run and after.language == "text":
            yield after.text, printed.get(str(number), "")


def _split(output: str) -> tuple[list[str], list[str]]:
    _, *parts = re.split(r"^@@@ (\w+)$", output, flags=re.MULTILINE)
    return parts[::2], parts[1::2]


def is_like(said_text: str, printed: str) -> bool:
    """Say whether the lines of one text are found in another in their order, `…` standing for anything."""
    at = 0
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    for line in said_text.splitlines():
        wanted = re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))
        while at < len(lines) and not wanted.fullmatch(lines[at]):
            at += 1
        if at == len(lines):
            return False
        at += 1  # what is said twice is printed twice
    return True


def ports_of(text: str) -> list[str]:
    """Return the ports that a text names, each once."""
    return list(dict.fromkeys(match[1] or match[2] for match in _PORT.finditer(text)))


def on_ports(text: str, new: Sequence[tuple[str, int]]) -> str:
    """Return a text with other ports."""
    for before, after in new:
        text = re.sub(rf"(?<!\d){before}(?!\d)", str(after), text)
    return text


def carboy_commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of every `carboy …` that a page prints as a line of a shell."""
    text = "\n".join(block.text for block in blocks(page) if block.language in {"sh", "console"})
    for match in _COMMAND.finditer(text.replace("\\\n", " ")):
        lexer = shlex.shlex(match["words"].replace("…", "x"), posix=True, punctuation_chars="|;&<>")
        lexer.whitespace_split = True
        yield list(takewhile(lambda word: not set(word) <= set("|;&<>"), lexer))
