"""`carboy new . --into`: the container installs what the project lists, whichever tool it uses."""

import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from carboy.scaffold import Choices, adopt
from carboy.scaffold.requirement import find_origin

APP = "from flask import Flask\n\napp = Flask(__name__)\n"
POETRY = '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "*"\n'
PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask"]\n'
SETUP = "from setuptools import setup\nsetup(name='shop', install_requires=['flask'])\n"
BUILD = '[build-system]\nrequires = ["setuptools"]\n'


def _adopt(folder: Path, **files: str) -> tuple[str, str, dict[str, tuple[str, ...]]]:
    """Return the container file of a project with these files (`__` stands for `/`), the notes and the pastes."""
    for name, text in {"shop.py": APP, **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = adopt(folder, Choices())
    container = folder / "Dockerfile"
    return container.read_text() if container.is_file() else "", "\n".join(done.notes), done.pastes


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"requirements.txt": "flask\n", "Pipfile": "[packages]\n"}, "install --no-cache-dir -r requirements.txt '"),
        ({"requirements__base.txt": "flask\n"}, "-r requirements/base.txt '"),
        (
            {"requirements__base.txt": "flask\n", "requirements__prod.txt": "gunicorn\n", "requirements__dev.txt": ""},
            "-r requirements/base.txt -r requirements/prod.txt '",
        ),
        ({"requirements__web.txt": "flask\n", "requirements__dev.txt": "pytest\n"}, "-r requirements/web.txt '"),
        ({"Pipfile": "[packages]\nflask = '*'\n"}, "pipenv lock && /opt/tool/bin/pipenv requirements"),
        ({"Pipfile": "[packages]\n", "Pipfile.lock": "{}", "pyproject.toml": "[tool.black]\n"}, "/pipenv requirements"),
        ({"setup.py": SETUP}, "install --no-cache-dir . '"),
        ({"setup.py": SETUP, "pyproject.toml": BUILD}, "install --no-cache-dir . '"),
        ({"pyproject.toml": POETRY}, "poetry export --only main"),
        ({"pyproject.toml": PROJECT, "poetry.lock": ""}, "poetry export --only main"),
        ({"pyproject.toml": PROJECT, "uv.lock": ""}, "uv export --frozen --no-dev"),
        ({"pyproject.toml": PROJECT}, "uv pip install --system --no-cache -r pyproject.toml '"),
        ({"pyproject.toml": PROJECT + BUILD}, "install --no-cache-dir . '"),
        ({"pyproject.toml": PROJECT, "src__shop__main.py": ""}, "install --no-cache-dir . '"),
    ],
)
def test_the_container_installs_what_is_listed(tmp_path: Path, files: dict[str, str], wanted: str) -> None:
    """By the project's own tool, and Carboy with it; the shell can read the command."""
    container, _, _ = _adopt(tmp_path, **files)

    assert wanted in container
    (command,) = [
        line for line in container.replace("\\\n", "").splitlines() if line.startswith(("RUN pip", "RUN python"))
    ]
    assert f"'{find_origin().requirement(['serve'])}'" in command
    assert subprocess.run(["sh", "-n", "-c", command.removeprefix("RUN ")], check=False).returncode == 0


def test_a_conda_environment_gets_no_container_and_the_note_says_why(tmp_path: Path) -> None:
    """The other files are written; with a list of requirements beside it, all are."""
    container, notes, pastes = _adopt(tmp_path, **{"environment.yml": "dependencies:\n  - flask\n"})

    assert container == ""
    assert "requirements.txt" in notes
    assert "Conda" in notes
    assert pastes["environment.yml (your dependencies)"][0].startswith("- carboy[serve]")
    assert (tmp_path / "gunicorn.conf.py").is_file()

    container, notes, _ = _adopt(tmp_path, **{"requirements.txt": "flask\n"})

    assert "-r requirements.txt" in container
    assert "Conda" not in notes


@pytest.mark.parametrize("files", [{}, {"requirements__eu.txt": "flask\n", "requirements__us.txt": "flask\n"}])
def test_what_cannot_be_chosen_is_said(tmp_path: Path, files: dict[str, str]) -> None:
    """The container is built, with Carboy alone; the note names the files and the line."""
    container, notes, _ = _adopt(tmp_path, **files)

    assert "RUN pip install --no-cache-dir 'carboy" in container
    assert "RUN pip install" in notes
    assert all(name.replace("__", "/") in notes for name in files)


@pytest.mark.parametrize(
    ("file", "text"),
    [("Pipfile", "[packages]\nflask = '*'\n"), ("pyproject.toml", POETRY), ("pyproject.toml", PROJECT)],
)
def test_the_line_to_paste_is_what_the_file_takes(tmp_path: Path, file: str, text: str) -> None:
    """Pasted below the others it reads as TOML, with the extra."""
    _, _, pastes = _adopt(tmp_path, **{file: text})
    (line,) = pastes[f"{file} (your dependencies)"]

    if text is PROJECT:
        pasted = tomllib.loads(text.replace('"flask"', f'"flask", {line}'))
        assert Requirement(pasted["project"]["dependencies"][1]).extras == {"serve"}
    else:
        pasted = tomllib.loads(f"{text}{line}\n")
        table = pasted["packages"] if file == "Pipfile" else pasted["tool"]["poetry"]["dependencies"]
        assert table["carboy"]["extras"] == ["serve"]
        assert table["carboy"].keys() - {"extras"} <= {"version", "path", "git", "rev", "url"}
