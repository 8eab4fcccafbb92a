"""What is published: a wheel and a source distribution, each extra of which works with nothing else installed."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email.parser import Parser
from importlib.metadata import metadata
from pathlib import Path

import pytest
from tests.bundle.wheelhouse import needed_by, repack

from carboy.scaffold import CHOICES, Choices, make_service
from carboy.testing.processes import AwsServer

ROOT = Path(__file__).parents[2]
USES = Path(__file__).with_name("uses.py")
EXTRAS = ["nothing", *metadata("carboy").get_all("Provides-Extra", [])]
BIN = Path(sys.executable).parent

Install = Callable[..., Path]
"""Makes an environment in a folder with what its words name, and returns its Python."""


def run(*command: str | Path, folder: Path, **environ: str) -> str:
    """Return what a program prints; it sees none of this process's settings, and keeps its bytecode."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=ROOT)
    return next(folder.glob("carboy-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Built from the source distribution, as a packager does."""
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    folder = sdist.parent / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", sdist.parent, folder=folder)
    return next(sdist.parent.glob("carboy-*.whl"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for an index: the wheels of what is installed here, which the extras and a new service need."""
    folder = tmp_path_factory.mktemp("wheels")
    tools = ("editables", "hatchling", "mypy", "pytest", "ruff")
    repack(folder, *sorted(needed_by("carboy[all,testing]", *tools) - {"carboy"}))
    return folder


@pytest.fixture(scope="module")
def install(wheel: Path, house: Path) -> Install:
    def made(*words: str, folder: Path) -> Path:
        uv, offline = BIN / "uv", ("--offline", "--cache-dir", str(house / "cache"))
        links = {"UV_FIND_LINKS": f"{house},{wheel.parent}"}
        run(uv, "venv", "--quiet", "--python", sys.executable, *offline, folder / "venv", folder=folder)
        python = folder / "venv" / "bin" / "python"
        run(uv, "pip", "install", "--quiet", *offline, "--python", python, *words, folder=folder, **links)
        return python

    return made


def test_the_wheel_has_all_files_of_the_package_and_no_other(wheel: Path) -> None:
    """Templates and documents too, what says that it is typed, and the licence."""
    tracked = run("git", "ls-files", "src/carboy", folder=ROOT).splitlines()
    files = contents(wheel)
    info = {name.rpartition("/")[2] for name in files if ".dist-info/" in name}

    assert {name for name in files if ".dist-info/" not in name} == {name.removeprefix("src/") for name in tracked}
    assert "carboy/py.typed" in files
    assert info == {"LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt"}


def test_the_wheel_of_the_tree_is_the_wheel_of_the_source_distribution(wheel: Path, tmp_path: Path) -> None:
    """To the byte."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, folder=ROOT)

    assert contents(tmp_path / wheel.name) == contents(wheel)


def test_the_index_gets_what_it_shows(wheel: Path) -> None:
    """The README as the long description, the licence, the Pythons."""
    files = contents(wheel)
    about = Parser().parsestr(next(files[name].decode() for name in files if name.endswith("/METADATA")))

    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Description-Content-Type"] == "text/markdown"
    assert "# Carboy" in about.get_payload()


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_works_alone(
    extra: str, install: Install, house: Path, wheel: Path, moto: AwsServer, tmp_path: Path
) -> None:
    """The import, the command, and what the extra is for."""
    python = install(f"{wheel}[{extra}]" if extra != "nothing" else str(wheel), folder=tmp_path)

    there = {"aws": moto.environment, "build": {"UV_FIND_LINKS": str(house), "UV_OFFLINE": "1"}}
    run(python, USES, extra, folder=tmp_path, **there.get(extra, {}))
    assert "Usage: carboy" in run(python.with_name("carboy"), "--help", folder=tmp_path)


def test_a_new_service_starts_from_what_is_published(install: Install, tmp_path: Path) -> None:
    """With everything, as its README has it installed: from the index, into an environment of its own."""
    folder = tmp_path / "orders"
    make_service(folder, Choices(frozenset(CHOICES)))
    python = install("--editable", f"{folder}[dev]", folder=tmp_path)

    def does(*words: str) -> str:
        return run(python.with_name(words[0]), *words[1:], folder=folder)

    assert "passed" in does("pytest")
    assert does("ruff", "check", ".")
    assert "/site-packages/carboy/" in run(python, "-c", "import carboy; print(carboy.__file__)", folder=folder)
    assert "ok    object store" in does("carboy", "doctor")
    assert "Hello, Ann" in does("flask", "greet", "Ann")
