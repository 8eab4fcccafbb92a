"""How an existing project lists its dependencies: how its container installs them, and where Carboy's line goes."""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from carboy.scaffold.requirement import find_origin

_CONDA = ("environment.yml", "environment.yaml")
_REQUIREMENTS = ("requirements.txt", "src/requirements.txt")
_SPLIT = ("requirements/base.txt", "requirements/prod.txt", "requirements/production.txt")
_OTHERS = ("requirements/*.txt", "requirements[-_.]*.txt")
_FOR_TOOLS = re.compile(r"(?i)dev|test|lint|doc|build|typ|local|ci\b")
_EXPORTED = "/tmp/requirements.txt"  # noqa: S108 (in the container)
_POETRY = f"poetry export --only main --without-hashes --output {_EXPORTED}"
_TOOLS = {
    "uv.lock": ("pyproject.toml", "uv", f"uv export --frozen --no-dev --no-hashes --quiet --output-file {_EXPORTED}"),
    "poetry.lock": ("pyproject.toml", "poetry poetry-plugin-export", _POETRY),
    "Pipfile.lock": ("Pipfile", "pipenv", f"pipenv requirements > {_EXPORTED}"),
    "Pipfile": ("Pipfile", "pipenv", f"pipenv lock && /opt/tool/bin/pipenv requirements > {_EXPORTED}"),
}
"""By the file that a tool writes: the file that people write, what to install, and the command that lists the
dependencies as pip reads them."""


class Listing(NamedTuple):
    """How a project lists its dependencies.

    Attributes:
        file: where it lists them; empty where it does not.
        install: the shell's words that install them in a container, before Carboy's requirement; empty where it cannot.
        note: what else its owner has to know.
    """

    file: str
    install: str
    note: str = ""


def find_listing(folder: Path) -> Listing:
    """Return how a project lists its dependencies, by the first file that does."""
    named = [name for name in _REQUIREMENTS if (folder / name).is_file()][:1]
    named = named or [name for name in _SPLIT if (folder / name).is_file()]
    if named:
        return Listing(named[0], _pip(*(f"-r {name}" for name in named)))
    for name, (file, tool, export) in _TOOLS.items():
        if (folder / name).is_file():
            return Listing(file, _with_tool(tool, export, folder))
    project = _pyproject(folder)
    if "project" in project:
        is_dynamic = "dependencies" in project["project"].get("dynamic", [])
        is_package = is_dynamic or "build-system" in project or (folder / "src").is_dir()
        return Listing("pyproject.toml", _pip(".") if is_package else _uv("pyproject.toml"))
    if "poetry" in project.get("tool", {}):
        file, tool, export = _TOOLS["poetry.lock"]
        return Listing(file, _with_tool(tool, export, folder))
    setup = next((name for name in ("setup.cfg", "setup.py") if _has_requirements(folder / name)), "")
    if setup:
        return Listing(setup, _pip("."))
    conda = next((name for name in _CONDA if (folder / name).is_file()), "")
    if conda:
        return Listing(
            conda,
            "",
            f"no Dockerfile was written, as its image would need Conda for {conda}: list the dependencies in a "
            "requirements.txt (pip list --format=freeze > requirements.txt), and run this again",
        )
    return _from_others(folder)


def _from_others(folder: Path) -> Listing:
    paths = [path for pattern in _OTHERS for path in sorted(folder.glob(pattern))]
    names = [path.relative_to(folder).as_posix() for path in paths if not _FOR_TOOLS.search(path.name)]
    if len(names) == 1:
        return Listing(names[0], _pip(f"-r {names[0]}"))
    why = f"{', '.join(names)}: put the one for production into" if names else "no file names the dependencies: see"
    return Listing(
        "", _pip(), f"{why} the line `RUN pip install` of the Dockerfile, which installs Carboy and Flask alone"
    )


def render_requirement(listing: Listing, extras: tuple[str, ...], folder: Path) -> str:
    """Return Carboy's requirement in the words of the file that lists the dependencies."""
    line = find_origin().requirement(extras)
    if listing.file in _CONDA:
        return f"- {line}"
    is_poetry = listing.file == "pyproject.toml" and "project" not in _pyproject(folder)
    if listing.file != "Pipfile" and not is_poetry:
        return f'"{line}"' if listing.file in {"pyproject.toml", "setup.py"} else line
    name, _, rest = line.partition("]")
    entry = _entry(rest.removeprefix(" @ "))
    listed = ", ".join(f'"{extra}"' for extra in extras)
    return f"{name.partition('[')[0]} = {{{entry}, extras = [{listed}]}}"


def _entry(source: str) -> str:
    if source.startswith("git+"):
        url, _, commit = source.removeprefix("git+").rpartition("@")
        return f'git = "{url}", rev = "{commit}"' if url else f'git = "{commit}"'
    if source.startswith("file:"):
        return f'path = "{source.removeprefix("file://")}"'
    return f'url = "{source}"' if "://" in source else f'version = "{source}"'


def _pip(*arguments: str) -> str:
    return " ".join(("pip install --no-cache-dir", *arguments))


def _uv(file: str) -> str:
    return f"pip install --no-cache-dir uv \\\n    && uv pip install --system --no-cache -r {file}"


def _with_tool(tool: str, export: str, folder: Path) -> str:
    """Return the words that list the dependencies with a tool in an environment of its own, then install them."""
    own = ["."] if (folder / "src").is_dir() and "uv" not in tool and "pipenv" not in tool else []
    return " \\\n    && ".join(
        (
            f"python -m venv /opt/tool && /opt/tool/bin/pip install --no-cache-dir {tool}",
            f"/opt/tool/bin/{export}",
            _pip(f"-r {_EXPORTED}", *own),
        )
    )


def _pyproject(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _has_requirements(path: Path) -> bool:
    return path.is_file() and "install_requires" in path.read_text("utf-8", "replace")
