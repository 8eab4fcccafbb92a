"""Rules of the code that the import contracts cannot say."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "carboy"
MAX_MODULE_LINES = 420
MAX_FUNCTION_LINES = 62


@pytest.mark.slow
def test_the_environment_is_read_in_one_place() -> None:
    """`carboy.config.environ` alone touches `os.environ`.

    The test kit, which starts processes, copies it; `logs.setup` looks for `NO_COLOR`, as logs stand below settings.
    """
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        if "testing" not in file.parts and file not in {SOURCE / "config" / "environ.py", SOURCE / "logs" / "setup.py"}
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "putenv"}
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    ]

    assert found == []


@pytest.mark.slow
def test_modules_and_functions_are_short_enough_to_read_at_once() -> None:
    """A module is read in one go, a function on one screen."""
    found = []
    for file in SOURCE.rglob("*.py"):
        text = file.read_text("utf-8")
        if text.count("\n") > MAX_MODULE_LINES:
            found.append(f"{file.relative_to(SOURCE)}: {text.count(chr(10))} lines")
        found += [
            f"{file.relative_to(SOURCE)}:{node.lineno} {node.name}: {(node.end_lineno or 0) - node.lineno} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (node.end_lineno or 0) - node.lineno > MAX_FUNCTION_LINES
        ]

    assert found == []


@pytest.mark.slow
def test_nothing_is_imported_from_a_conftest() -> None:
    """Pytest loads a `conftest.py` itself; what tests share is in a `kit.py` beside it."""
    found = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == "conftest"
    ]

    assert found == []
