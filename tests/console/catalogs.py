"""Extract the console's texts, update the catalogs and compile them: `python -m tests.console.catalogs`."""

import io
import re
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

SRC = Path(__file__).parents[2] / "src" / "carboy"
ROOTS = {
    "console": (SRC / "web" / "console",),
    "archive": (SRC / "services" / "archive" / "pages",),
    "sms": (SRC / "services" / "sms" / "pages",),
}
"""The folders that have a catalog of their own, `translations/zh_Hans/LC_MESSAGES/console.po` below the first."""

_UI = re.compile(r"""(?<!macro )(?:ui\.)?\b(?:table|cell|state|empty|choice|text_field|action|careful|filters)\(""")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*[A-Za-z](?:[^"\\]|\\.)*)"')
_FACTS = re.compile(r"""\[\s*"([^"]+)"\s*,""")
_CODE = re.compile(r"^[a-z_]+(?:-[a-z]+)*$")


def extract(root: Path) -> set[str]:
    """Return the texts of a folder: `_()` and `mark()` of Python and Jinja, and the arguments of the macros."""
    found: set[str] = set()
    for _, _, message, _, _ in extract_from_dir(
        root, [("**.html", "jinja2.ext:babel_extract"), ("**.py", "python")],
        {"**.html": {"silent": "false"}}, keywords={"_": None, "mark": None},
    ):  # fmt: skip
        found.add(message if isinstance(message, str) else message[0])
    for path in root.rglob("*.html"):
        text = path.read_text()
        for start in _UI.finditer(text):
            found |= set(_labels(start[0], _arguments(text, start.end())))
        for start in re.finditer(r"ui\.facts\(", text):
            found |= set(_FACTS.findall(_arguments(text, start.end())))
    return {one for one in found if one}


def _arguments(text: str, at: int) -> str:
    depth, end = 1, at
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[at : end - 1]


def _labels(macro: str, arguments: str) -> list[str]:
    """Return the strings among a macro's arguments that are shown; names of fields, states and classes are not."""
    texts = _TEXT.findall(re.sub(r"url_for\([^)]*\)|request\.[a-z.]+\([^)]*\)", "", arguments))
    macro = macro.removeprefix("ui.")
    if macro in {"choice(", "text_field("}:
        return texts[1:2]
    if macro == "cell(":
        return texts[:1] if arguments.startswith('"') else []
    if macro == "state(":
        return [one for one in texts if one not in {"ok", "wait", "run", "bad"}]
    return [one for one in texts if one not in {"primary", "danger"}]


def po_path(root: Path) -> Path:
    return root / "translations" / "zh_Hans" / "LC_MESSAGES" / "console.po"


def load(root: Path) -> Catalog:
    path = po_path(root)
    if not path.is_file():
        return Catalog(locale="zh_Hans", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale="zh_Hans")


def compiled(root: Path) -> bytes:
    """Return the binary form of a folder's catalog."""
    out = io.BytesIO()
    write_mo(out, load(root))
    return out.getvalue()


def update(root: Path, known: dict[str, str]) -> list[str]:
    """Write the catalog and its binary form; return the texts that have no translation."""
    before = {one.id: one.string for one in load(root) if one.id}
    catalog = Catalog(locale="zh_Hans", project="carboy", fuzzy=False)
    wanted = sorted(extract(root))
    for text in wanted:
        catalog.add(text, known.get(text) or before.get(text) or "")
    path = po_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    write_po(out, catalog, omit_header=False, sort_output=True, width=110)
    lines = [one for one in out.getvalue().splitlines(keepends=True) if b"-Date:" not in one]
    path.write_bytes(b"".join(lines))
    path.with_suffix(".mo").write_bytes(compiled(root))
    return [text for text in wanted if not (known.get(text) or before.get(text))]


if __name__ == "__main__":
    missing = {text for roots in ROOTS.values() for root in roots if root.is_dir() for text in update(root, {})}
    sys.stdout.write("".join(f"{one}\n" for one in sorted(missing)))
    sys.exit(1 if missing else 0)
