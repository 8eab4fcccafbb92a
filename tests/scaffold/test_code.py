"""What `carboy new` writes is clean by the checks of those who will own it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deploy.checks import hadolint
from tests.scaffold.kit import Projects

from carboy.scaffold import Choices, adopt

BIN = Path(sys.executable).parent


def check(*command: str, folder: Path) -> str:
    """Return what a tool complains of."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
        env={**os.environ, "MYPYPATH": ""},
    )
    return done.stdout + done.stderr if done.returncode else ""


def test_ruff_finds_nothing(projects: Projects) -> None:
    """In any of them, by the rules that each brings; they are formatted too."""
    root = projects["nothing"].parents[1]

    assert check("ruff", "check", "--no-cache", ".", folder=root) == ""
    assert check("ruff", "format", "--no-cache", "--check", ".", folder=root) == ""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where mypy remembers the libraries between two runs."""
    return f"--cache-dir={tmp_path_factory.mktemp('mypy')}"


def test_mypy_finds_nothing(projects: Projects, cache: str, tmp_path: Path) -> None:
    """Strict, on all code that differs: a project whose files another has too is not looked at twice."""
    code = {
        name: {path.relative_to(folder).as_posix(): path.read_text() for path in _modules(folder)}
        for name, folder in projects.items()
    }
    for name, files in code.items():
        if not any(files.items() < others.items() for others in code.values()):
            _copy(files, tmp_path / name.replace(",", "_"))

    assert len(list(tmp_path.iterdir())) == 11
    assert check("mypy", "--strict", "--explicit-package-bases", cache, ".", folder=tmp_path) == ""


def test_mypy_finds_nothing_by_the_projects_own_configuration(whole: Path, cache: str) -> None:
    """As its README has it run."""
    assert check("mypy", cache, folder=whole) == ""


def test_the_templates_of_lambda_are_right(projects: Projects, tmp_path: Path) -> None:
    """By AWS's own linter; each that differs."""
    texts = {(folder / "template.yaml").read_text() for folder in projects.values()}
    for number, text in enumerate(sorted(texts)):
        (tmp_path / f"{number}.yaml").write_text(text)

    assert len(texts) == 4
    assert check("cfn-lint", *(path.name for path in sorted(tmp_path.iterdir())), folder=tmp_path) == ""


def test_the_container_files_are_right(projects: Projects, shops: list[Path]) -> None:
    """By hadolint; those of new services, and those that existing projects get."""
    files = {(folder / "Dockerfile").read_text(): folder / "Dockerfile" for folder in [*projects.values(), *shops]}

    assert len(files) == 3
    assert [hadolint(path) for path in files.values()] == ["", "", ""]


@pytest.fixture
def shops(tmp_path: Path) -> list[Path]:
    """Two existing projects, with a list of requirements and without, that got what they lack."""
    folders = [tmp_path / "listed", tmp_path / "packaged"]
    for folder, dependencies in zip(folders, ("requirements.txt", "pyproject.toml"), strict=True):
        folder.mkdir()
        (folder / "shop.py").write_text("from flask import Flask\n\napp = Flask(__name__)\n")
        (folder / dependencies).touch()
        adopt(folder, Choices())
    return folders


def _modules(folder: Path) -> list[Path]:
    return [
        *(folder / "app").rglob("*.py"),
        *(folder / "tests").rglob("*.py"),
        folder / "wsgi.py",
        folder / "handler.py",
    ]


def _copy(files: dict[str, str], folder: Path) -> None:
    """Write a project's modules, its package under a name that no other's has."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(re.sub(r"^(from|import) app\b", rf"\1 {folder.name}.app", text, flags=re.MULTILINE))
