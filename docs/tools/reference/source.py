"""What the source says without being run: errors that are raised, lines that are logged, metrics, signals."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import carboy

__all__ = ["Call", "Signal", "calls", "error_classes", "literals", "parsed", "signals", "template"]

_PACKAGE = Path(carboy.__file__).parent
_LEFT_OUT = {"testing", "fleece"}  # the test kit's own errors, and names of another library's


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the source.

    Attributes:
        part: the folder below the package, with the service's name for a service; `base` for files that are in none.
        name: what is called, the last part of it.
        node: the call itself.
    """

    part: str
    name: str
    node: ast.Call


@dataclass(frozen=True, slots=True)
class Signal:
    """A blinker signal, where it is imported from, and its words."""

    path: str
    what: str


@cache
def parsed() -> list[tuple[str, str, ast.Module]]:
    """Return the part, the module's name and the tree of every file of the package."""
    return list(_parse())


def _parse() -> Iterator[tuple[str, str, ast.Module]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        folders = path.relative_to(_PACKAGE).parts[:-1]
        if folders[:1] and folders[0] in _LEFT_OUT:
            continue
        part = folders[1] if folders[:1] == ("services",) and len(folders) > 1 else (*folders, "base")[0]
        module = ".".join(("carboy", *path.relative_to(_PACKAGE).with_suffix("").parts))
        yield part, module, ast.parse(path.read_text("utf-8"))


def calls(is_wanted: Callable[[str, ast.Call], bool]) -> list[Call]:
    """Return the calls that are wanted by their name and themselves, in the order of files and lines."""
    found = []
    for part, _, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if is_wanted(name, node):
                    found.append(Call(part, name, node))
    return found


def error_classes() -> set[str]:
    """Return the names of `CarboyError` and of all that stand on it, wherever they are."""
    known = {"CarboyError"}
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _, _, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    while more := {name for name, below in bases.items() if below & known} - known:
        known |= more
    return known


def signals() -> list[Signal]:
    """Return the blinker signals that a string below them documents."""
    found = []
    for _, module, tree in parsed():
        for node, after in pairwise(tree.body):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Attribute)
                and node.value.func.attr == "signal"
                and isinstance(after, ast.Expr)
            ):
                name = ast.unparse(node.target)
                found.append(Signal(f"{module.rpartition('.')[0]}.{name}", template(after.value) or ""))
    return found


def template(node: ast.expr) -> str | None:
    """Return the text that an expression makes, with `…` for what is known only later; None where it is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(template(value) or "…" for value in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return f"{template(left) or '…'}{template(right) or '…'}"
        case _:
            return None


def literals(node: ast.expr) -> Sequence[str]:
    """Return the texts that an expression may be."""
    match node:
        case ast.IfExp(body=body, orelse=other):
            return [*literals(body), *literals(other)]
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return [text for item in items for text in literals(item)]
        case ast.Constant(value=str(text)):
            return [text]
        case _:
            return []
