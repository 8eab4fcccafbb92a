"""The services are built from the toolkit: none of them reads Flask's request or calls out by a client of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from carboy import services

_ROOT = Path(services.__path__[0])
_FORBIDDEN = {"requests", "boto3", "botocore", "urllib3", "http.client", "flask.request"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield each module, and each name of Flask, that a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(_ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(_ROOT)))
def test_a_service_has_no_request_and_no_client_of_its_own(path: Path) -> None:
    names = set(imported(ast.parse(path.read_text())))

    forbidden = {name for name in names for word in _FORBIDDEN if name == word or name.startswith(f"{word}.")}

    assert forbidden == set()
