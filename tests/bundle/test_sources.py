"""A dependency comes from the source that its file names, or the build names it and stops."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.bundle.projects import (
    HANDLER,
    PYTHON,
    make_index,
    make_library,
    options_for,
    sha256_of,
    with_build_backend,
    write_files,
)
from tests.bundle.wheelhouse import make_wheel

from carboy.bundle import build
from carboy.bundle.requirements import load_requirements
from carboy.bundle.wheels import find_uv, install_wheels
from carboy.errors import CarboyError, Missing


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A public index that has a package of each private name, as the configured index."""
    for name in ("acme", "other"):
        make_index(tmp_path / "public", name, {f"{name}/__init__.py": "says = 'public'\n"})
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "public").as_uri())
    monkeypatch.setenv("PIP_FIND_LINKS", str(with_build_backend(tmp_path / "backend")))
    return tmp_path / "public"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A private index with packages of the same names."""
    for name in ("acme", "other"):
        make_index(tmp_path / "private", name, {f"{name}/__init__.py": "says = 'private'\n"})
    return tmp_path / "private"


def said_by(project: Path, name: str = "acme") -> str:
    """Build a project and return what the package in its zip says."""
    report = build(options_for(project))
    with zipfile.ZipFile(report.target) as zipped:
        return zipped.read(f"{name}/__init__.py").decode().partition("=")[2].strip(" '\n")


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize(
    "line",
    ["-e ./libs/acme", "--editable=./libs/acme", "./libs/acme", "libs/acme", "-e libs/acme[]", "acme @ file:libs/acme"],
)
def test_a_local_project_is_built(tmp_path: Path, line: str) -> None:
    """The zip holds its code, never a link to this machine; the path is relative to the file that names it."""
    project = write_files(tmp_path / "service", {f"src/{name}": text for name, text in HANDLER.items()})
    write_files(project, {"requirements.txt": f"{line}\n"})
    make_library(project / "libs" / "acme", "acme", "local")

    assert said_by(project) == "local"
    with zipfile.ZipFile(project / "dist" / "lambda_function.zip") as zipped:
        assert not [name for name in zipped.namelist() if name.endswith(".pth")]


@pytest.mark.usefixtures("public")
def test_a_local_project_that_changes_is_built_again(tmp_path: Path) -> None:
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "-e ../acme\n"})
    library = make_library(tmp_path / "acme", "acme", "first")
    assert said_by(project) == "first"

    (library / "src" / "acme" / "__init__.py").write_text("says = 'second'\n")

    assert said_by(project) == "second"


@pytest.mark.usefixtures("public")
def test_two_projects_with_one_line_get_their_own_library(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_files(tmp_path / name, {"src/handler.py": "", "requirements.txt": "./lib\n"})
        make_library(tmp_path / name / "lib", "acme", name)

    assert [said_by(tmp_path / name) for name in ("one", "two")] == ["one", "two"]


@pytest.mark.usefixtures("public")
def test_a_repository_is_used_at_its_commit(tmp_path: Path) -> None:
    library = make_library(tmp_path / "acme", "acme", "repository")
    git = ["git", "-C", str(library), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    url = f"file://{library}"
    files = {
        "requirements.txt": f"-e git+{url}@{commit}#egg=acme\n",
        "poetry.lock": '[[package]]\nname = "acme"\nversion = "1.0"\ngroups = ["main"]\n[package.source]\n'
        f'type = "git"\nurl = "{url}"\nreference = "main"\nresolved_reference = "{commit}"\n',
        "Pipfile.lock": json.dumps({"default": {"acme": {"git": url, "ref": commit}}}),
        "pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["acme>=1"]\n'
        f'[tool.uv.sources]\nacme = {{ git = "{url}", rev = "{commit}" }}\n',
    }
    for name, text in files.items():
        project = write_files(tmp_path / name.replace(".", "-"), {"src/handler.py": "", name: text})

        assert said_by(project) == "repository", name


@pytest.mark.usefixtures("public")
def test_a_folder_in_a_lock_is_used(tmp_path: Path) -> None:
    make_library(tmp_path / "acme", "acme", "folder")
    files = {
        "poetry.lock": '[[package]]\nname = "acme"\nversion = "1.0"\ngroups = ["main"]\ndevelop = true\n'
        '[package.source]\ntype = "directory"\nurl = "../acme"\n',
        "Pipfile.lock": json.dumps({"default": {"acme": {"path": "../acme", "editable": True}}}),
        "Pipfile": '[packages]\nacme = { path = "../acme" }\n',
        "pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["acme"]\n'
        '[tool.uv.sources]\nacme = { path = "../acme", editable = true }\n',
    }
    for name, text in files.items():
        project = write_files(tmp_path / name.replace(".", "-"), {"src/handler.py": "", name: text})
        options = options_for(project, pipfile=Path("Pipfile") if name == "Pipfile" else None)

        report = build(options)

        with zipfile.ZipFile(report.target) as zipped:
            assert zipped.read("acme/__init__.py") == b"says = 'folder'\n", name


@pytest.mark.usefixtures("public")
def test_a_private_index_of_a_lock_is_the_only_one(tmp_path: Path, private: Path) -> None:
    """With the hash that the lock has, and for that package alone."""
    url, digest = private.as_uri(), sha256_of(private, "acme")
    files = {
        "poetry.lock": f'[[package]]\nname = "acme"\nversion = "1.0"\ngroups = ["main"]\n'
        f'files = [{{ file = "acme-1.0-py3-none-any.whl", hash = "sha256:{digest}" }}]\n'
        f'[package.source]\ntype = "legacy"\nurl = "{url}"\nreference = "private"\n'
        '[[package]]\nname = "other"\nversion = "1.0"\ngroups = ["main"]\n',
        "Pipfile.lock": json.dumps({
            "_meta": {"sources": [
                {"name": "pypi", "url": "https://pypi.org/simple"}, {"name": "private", "url": url}
            ]},
            "default": {
                "acme": {"version": "==1.0", "index": "private", "hashes": [f"sha256:{digest}"]},
                "other": {"version": "==1.0"},
            },
        }),
        "pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["acme==1.0", "other"]\n'
        f'[tool.uv.sources]\nacme = {{ index = "private" }}\n'
        f'[[tool.uv.index]]\nname = "private"\nurl = "{url}"\nexplicit = true\n',
    }  # fmt: skip
    for name, text in files.items():
        project = write_files(tmp_path / name.replace(".", "-"), {"src/handler.py": "", name: text})

        assert (said_by(project), said_by(project, "other")) == ("private", "public"), name


@pytest.mark.usefixtures("public")
def test_a_file_with_another_hash_is_refused(tmp_path: Path, private: Path) -> None:
    digest = sha256_of(private, "acme")
    lock = f'[[package]]\nname = "acme"\nversion = "1.0"\nfiles = [{{ file = "a", hash = "sha256:{digest}" }}]\n'
    project = write_files(
        tmp_path / "service", {"src/handler.py": "", "poetry.lock": lock.replace("files", 'groups = ["main"]\nfiles')}
    )

    with pytest.raises(CarboyError, match=r"(?i)hash"):
        build(options_for(project))


@pytest.mark.usefixtures("public")
def test_a_lock_of_uv_keeps_its_sources(tmp_path: Path, private: Path) -> None:
    """A private index, a folder, and the members of a workspace whose lock lies above the service."""
    make_library(tmp_path / "work" / "libs" / "common", "common", "member", requires='"other"')
    make_library(tmp_path / "work" / "elsewhere", "beside", "folder")
    write_files(
        tmp_path / "work",
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["libs/*", "services/*"]\n',
            "services/orders/src/handler.py": "",
            "services/orders/pyproject.toml": '[project]\nname = "orders"\nversion = "1"\nrequires-python = ">=3.11"\n'
            'dependencies = ["acme", "common", "beside"]\n[tool.uv.sources]\nacme = { index = "private" }\n'
            'common = { workspace = true }\nbeside = { path = "../../elsewhere", editable = true }\n'
            f'[[tool.uv.index]]\nname = "private"\nurl = "{private.as_uri()}"\nexplicit = true\n',
        },
    )
    uv = find_uv()
    assert uv is not None
    index = (tmp_path / "public").as_uri()
    subprocess.run([uv, "lock", "-q", "--default-index", index], cwd=tmp_path / "work", check=True)
    project = tmp_path / "work" / "services" / "orders"

    said = {name: said_by(project, name) for name in ("acme", "common", "beside", "other")}

    assert said == {"acme": "private", "common": "member", "beside": "folder", "other": "public"}


PROJECT = '[project]\ndependencies = ["acme"]\n'
POETRY = '[[package]]\nname = "acme"\nversion = "1"\ngroups = ["main"]\n[package.source]\n'


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("poetry.lock", POETRY + 'type = "svn"\nurl = "x"\n', "acme"),
        ("poetry.lock", POETRY + 'type = "directory"\nurl = "../nowhere"\n', "acme"),
        ("Pipfile.lock", json.dumps({"default": {"acme": {"hg": "https://a.example/x"}}}), "acme"),
        ("Pipfile.lock", json.dumps({"default": {"acme": {"version": "==1", "index": "nobody"}}}), "acme"),
        ("pyproject.toml", PROJECT + "[tool.uv.sources]\nacme = { workspace = true }\n", "acme"),
        ("requirements.txt", "git+https://user:hunter2@a.example/acme.git\n", "a.example"),
        ("requirements.txt", "-e ./nowhere\n", "nowhere"),
        ("requirements.txt", "-r nowhere.txt\n", "nowhere.txt"),
        ("poetry.lock", "not toml", "poetry.lock"),
        ("Pipfile.lock", "[]", "Pipfile.lock"),
        ("Pipfile.lock", "{", "Pipfile.lock"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, text: str, named: str) -> None:
    project = write_files(tmp_path / "service", {"src/handler.py": "", name: text})

    with pytest.raises(CarboyError) as caught:
        load_requirements(options_for(project), find_uv())

    assert named in str(caught.value)
    assert caught.value.hint
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.usefixtures("public")
def test_compiled_code_that_was_built_here_is_refused(tmp_path: Path) -> None:
    """It would run on this machine alone."""
    library = write_files(
        tmp_path / "acme",
        {
            "acme.py": "",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "acme"\nversion = "1.0"\n',
            "backend.py": "import pathlib, shutil\n\ndef get_requires_for_build_wheel(config_settings=None):\n"
            "    return []\n\ndef build_wheel(folder, config_settings=None, metadata_directory=None):\n"
            f"    made = next(pathlib.Path({str(tmp_path / 'made')!r}).iterdir())\n"
            "    shutil.copy(made, folder)\n    return made.name\n",
        },
    )
    (tmp_path / "made").mkdir()
    tag = f"cp{PYTHON.replace('.', '')}-cp{PYTHON.replace('.', '')}-linux_x86_64"
    make_wheel(tmp_path / "made", "acme", {"acme.py": ""}, tag=tag)
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": f"{library}\n"})

    with pytest.raises(CarboyError, match="`acme`"):
        build(options_for(project))


@pytest.mark.usefixtures("public")
def test_pip_uses_the_same_sources(tmp_path: Path, private: Path) -> None:
    """Where uv is absent: a folder, one index for all, a refusal where there are two."""
    make_library(tmp_path / "lib", "acme", "local", requires='"other"')
    write_files(tmp_path / "a", {"requirements.txt": "-e ../lib\n"})
    source = f'[package.source]\ntype = "legacy"\nurl = "{private.as_uri()}"\nreference = "private"\n'
    one = '[[package]]\nname = "acme"\nversion = "1.0"\ngroups = ["main"]\n'
    write_files(tmp_path / "b", {"poetry.lock": one + source})
    write_files(tmp_path / "c", {"poetry.lock": one + source + one.replace("acme", "other")})
    said = {}
    for name in ("a", "b"):
        requirements = load_requirements(options_for(tmp_path / name), None)
        install_wheels(requirements, tmp_path / name / "installed", PYTHON, "x86_64", None)
        said[name] = (tmp_path / name / "installed" / "acme" / "__init__.py").read_text()

    assert said == {"a": "says = 'local'\n", "b": "says = 'private'\n"}
    with pytest.raises(CarboyError, match="`acme`"):
        install_wheels(
            load_requirements(options_for(tmp_path / "c"), None), tmp_path / "c" / "x", PYTHON, "x86_64", None
        )


@pytest.mark.usefixtures("public")
def test_pip_follows_the_markers_of_the_functions_python(tmp_path: Path, public: Path) -> None:
    """The packages of the function's Python go in, also as dependencies; what pip cannot leave out is reported."""
    make_wheel(public.parent / "backend", "acme", {"acme/__init__.py": ""}, version="2.0", requires=[
        "other; python_version < '3.11'", "never; python_version >= '3.13'"
    ])  # fmt: skip
    write_files(tmp_path / "a", {"requirements.txt": "acme==2.0\nnever ; python_version > '3.12'\n"})
    requirements = load_requirements(options_for(tmp_path / "a"), None)

    if sys.version_info >= (3, 13):
        with pytest.raises(Missing, match=r"only Python 3\.1[3-9] needs it") as caught:
            install_wheels(requirements, tmp_path / "installed", "3.10", "x86_64", None)
        assert "carboy[build]" in caught.value.hint
        return
    install_wheels(requirements, tmp_path / "installed", "3.10", "x86_64", None)
    assert (tmp_path / "installed" / "other" / "__init__.py").is_file()
