"""The page of the errors: the tree, and what each part says, with the hint that goes along."""

import ast
import inspect

from docs.tools.reference.source import calls, error_classes, template
from docs.tools.reference.tables import page, table

from carboy import errors
from carboy.errors import CarboyError

__all__ = ["render_errors"]


def render_errors() -> str:
    """Return the page of the errors: each class, and each message with its hint, by part."""
    sections = []
    for part, rows in _messages().items():
        sections += [f"## {part}", table(("message", "hint", "class"), rows)]
    return page(
        "Errors",
        "Every error that is raised on purpose says what happened, why, and what to do. A command prints that and\n"
        "ends with the exit code; an answer over HTTP is a [problem document](http.md).",
        table(("class", "exit code", "meaning"), _classes()),
        "Below, `…` stands for what is known only when it happens.",
        *sections,
    )


def _classes() -> list[tuple[str, str, str]]:
    rows = []
    for kind in (getattr(errors, name) for name in errors.__all__):
        if isinstance(kind, type) and issubclass(kind, CarboyError):
            base = kind.__mro__[1].__name__
            under = "" if base == "Exception" else f" (a `{base}`)"
            meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
            rows.append((f"`{kind.__name__}`{under}", str(kind.exit_code), meaning))
    return rows


def _messages() -> dict[str, list[tuple[str, str, str]]]:
    """Return the messages and hints that the source holds, by part, each once."""
    kinds = error_classes()
    by_part: dict[str, dict[tuple[str, str], str]] = {}
    for call in calls(lambda name, node: name in kinds and len(node.args) >= 3):
        what, why, hint = (template(node) for node in call.node.args[:3])
        message = f"{what or '…'}: {why or '…'}"
        if message != "…: …" and hint != "" and not isinstance(call.node.args[0], ast.Starred):
            by_part.setdefault(call.part, {}).setdefault((message, hint or "…"), f"`{call.name}`")
    return {
        part: [(message, hint, kind) for (message, hint), kind in sorted(found.items())]
        for part, found in sorted(by_part.items())
    }
