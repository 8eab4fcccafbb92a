"""The build reads the lock files of each tool."""

import json
from pathlib import Path

import pytest

from carboy.bundle import BuildOptions, read_requirements
from carboy.bundle.wheels import find_uv
from carboy.errors import CarboyError, UsageError


def read(folder: Path, requirements: Path | None = None, pipfile: Path | None = None) -> list[str]:
    options = BuildOptions(folder, requirements=requirements, pipfile=pipfile)
    return read_requirements(options, find_uv())[0].splitlines()


def test_a_project_without_dependencies_has_none(tmp_path: Path) -> None:
    assert read(tmp_path) == []


def test_requirements_are_read_with_what_they_include(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("flask==3.1.3 \\\n    --hash=sha256:aa\n")
    (tmp_path / "requirements.txt").write_text("# first\n-r base.txt\norjson>=3  # fast\n\n")

    assert read(tmp_path) == ["flask==3.1.3 --hash=sha256:aa", "orjson>=3"]


def test_a_comment_does_not_continue(tmp_path: Path) -> None:
    """Neither one that ends in a backslash, nor one within a continued line; what follows it counts."""
    (tmp_path / "requirements.txt").write_text(
        "# first \\\nflask==3.1.3\n"
        "click  # why \\\norjson \\\n  # of it\nredis[hiredis] \\\n  >=5 \\\n  --hash=sha256:aa\n"
    )

    assert read(tmp_path) == ["flask==3.1.3", "click", "orjson", "redis[hiredis] >=5 --hash=sha256:aa"]


@pytest.mark.parametrize(
    "data",
    [
        "flask  # größer\n".encode("utf-16"),
        "flask  # größer\n".encode("utf-8-sig"),
        "flask  # größer\n".encode("latin-1"),
        "flask  # größer\r\n".encode("utf-32"),
        "# -*- coding: cp1252 -*-\nflask  # 5 €\n".encode("cp1252"),
        b"# coding: no-such-one\nflask\n",
        b"flask\rclick\r",
    ],
)
def test_every_encoding_is_read(tmp_path: Path, data: bytes) -> None:
    """PowerShell writes UTF-16, older editors a byte order mark or Latin-1."""
    (tmp_path / "requirements.txt").write_bytes(data)

    assert read(tmp_path)[0] == "flask"


@pytest.mark.parametrize(
    "line",
    ["-rbase.txt", "-r base.txt", "-r=base.txt", "--requirement base.txt", "--requirement=base.txt", "-r 'base.txt'"],
)
def test_every_form_of_an_include_is_read(tmp_path: Path, line: str) -> None:
    (tmp_path / "base.txt").write_text("flask\n")
    (tmp_path / "requirements.txt").write_text(f"{line}\nclick\n")

    assert read(tmp_path) == ["flask", "click"]


def test_variables_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pip's form alone, and only those that are set."""
    monkeypatch.setenv("INDEX_TOKEN", "abc")
    (tmp_path / "requirements.txt").write_text(
        "--index-url https://u:${INDEX_TOKEN}@a.example/${NOT_SET}/$HOME\nflask\n"
    )

    assert read(tmp_path) == ["--index-url https://u:abc@a.example/${NOT_SET}/$HOME", "flask"]


def test_options_of_a_build_do_not_reach_the_installer(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text('flask==3.1.3 --global-option="--x" --config-settings=a=b\n')

    assert read(tmp_path) == ["flask==3.1.3"]


def test_dependencies_of_setuptools_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "needs.in").write_text("flask>=3\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a"\nversion = "1"\ndynamic = ["dependencies"]\n'
        '[tool.setuptools.dynamic]\ndependencies = { file = ["needs.in"] }\n'
    )

    assert read(tmp_path) == ["flask>=3"]


def test_dependencies_that_only_a_build_backend_knows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\ndynamic = ["dependencies"]\n')

    with pytest.raises(CarboyError, match="dynamic"):
        read(tmp_path)


def test_the_files_of_the_source_come_first(tmp_path: Path) -> None:
    """As Fleece looks for them; a folder stands for the Pipfile in it."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "requirements.txt").write_text("flask\n")
    (tmp_path / "requirements.txt").write_text("pytest\n")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "Pipfile.lock").write_text('{"default": {"click": {"version": "==8.3"}}}')

    assert read(tmp_path) == ["flask"]
    assert read(tmp_path, pipfile=Path("pip")) == ["click==8.3"]
    with pytest.raises(UsageError, match="exclude each other"):
        read(tmp_path, requirements=Path("requirements.txt"), pipfile=Path("pip"))


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r requirements.txt\nclick\n")
    (tmp_path / "requirements.txt").write_text("-r a.txt\nflask\n")

    assert read(tmp_path) == ["click", "flask"]


def test_paths_stay_those_of_their_file(tmp_path: Path) -> None:
    """They are read from another folder later."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "--find-links ./wheels\n--find-links=wheels\n./lib\n-f https://a.example/x\n"
    )

    wheels, lib = tmp_path / "wheels", tmp_path / "lib"
    expected = [f"--find-links {wheels}", f"--find-links={wheels}", f"{lib}", "-f https://a.example/x"]
    assert read(tmp_path) == expected


def test_a_lock_of_poetry_gives_what_the_service_needs(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text(
        '[[package]]\nname = "flask"\nversion = "3.1.3"\ngroups = ["main"]\noptional = false\n'
        '[[package]]\nname = "pytest"\nversion = "8.0"\ngroups = ["dev"]\noptional = false\n'
        '[[package]]\nname = "tzdata"\nversion = "1"\ngroups = ["main"]\nmarkers = "sys_platform == \'win32\'"\n'
    )

    assert read(tmp_path) == ["flask==3.1.3", "tzdata==1 ; sys_platform == 'win32'"]


def test_an_older_lock_of_poetry_is_followed_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.poetry.dependencies]\npython = "^3.11"\nFlask = "^3"\n')
    (tmp_path / "poetry.lock").write_text(
        '[[package]]\nname = "flask"\nversion = "3.1.3"\n[package.dependencies]\nclick = ">=8"\n'
        '[[package]]\nname = "click"\nversion = "8.3"\n'
        '[[package]]\nname = "pytest"\nversion = "8.0"\n'
    )

    assert sorted(read(tmp_path)) == ["click==8.3", "flask==3.1.3"]


def test_a_lock_of_pipenv_is_read(tmp_path: Path) -> None:
    lock = {"default": {"flask": {"version": "==3.1.3", "hashes": ["sha256:aa"]}}, "develop": {"pytest": {}}}
    (tmp_path / "Pipfile.lock").write_text(json.dumps(lock))
    (tmp_path / "Pipfile").write_text('[packages]\nflask = "*"\n')

    expected = ["flask==3.1.3 --hash=sha256:aa"]
    assert read(tmp_path) == read(tmp_path, pipfile=Path("Pipfile")) == expected


def test_a_pipfile_without_lock_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "Pipfile").write_text('[packages]\nflask = "*"\nredis = {version = ">=5", extras = ["hiredis"]}\n')

    assert read(tmp_path, pipfile=Path("Pipfile")) == ["flask", "redis[hiredis]>=5"]


def test_a_project_file_is_the_last_resort(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\ndependencies = ["flask>=3"]\n')

    assert read(tmp_path) == ["flask>=3"]


@pytest.mark.server
def test_a_lock_of_uv_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
    )
    (tmp_path / "uv.lock").write_text(
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n[[package]]\nname = "a"\nversion = "1"\n'
        'source = { virtual = "." }\n'
    )

    assert read(tmp_path) == []
    with pytest.raises(CarboyError, match="uv is not installed"):
        read_requirements(BuildOptions(tmp_path), None)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs\.txt"):
        read(tmp_path, requirements=Path("needs.txt"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@git.example:team/acme.git", "ssh://git@git.example/team/acme.git"),
        ("git.example:team/acme.git", "ssh://git.example/team/acme.git"),
        ("ssh://git@git.example/team/acme.git", "ssh://git@git.example/team/acme.git"),
        ("ssh://git@git.example:2222/acme.git", "ssh://git@git.example:2222/acme.git"),
        ("https://git.example/team/acme.git", "https://git.example/team/acme.git"),
        ("file:///repositories/acme", "file:///repositories/acme"),
    ],
)
def test_a_repository_is_named_as_installers_read_it(tmp_path: Path, url: str, expected: str) -> None:
    """Git's short form of an SSH address is no URL; Poetry's, Pipenv's and uv's files may have it."""
    source = f'[package.source]\ntype = "git"\nurl = "{url}"\nreference = "main"\nresolved_reference = "abc"\n'
    lock = f'[[package]]\nname = "acme"\nversion = "1"\noptional = false\ngroups = ["main"]\n{source}'
    (tmp_path / "poetry.lock").write_text(lock)
    assert read(tmp_path) == [f"acme @ git+{expected}@abc"]

    (tmp_path / "poetry.lock").unlink()
    (tmp_path / "Pipfile.lock").write_text(json.dumps({"default": {"acme": {"git": url, "ref": "abc"}}}))
    assert read(tmp_path) == [f"acme @ git+{expected}@abc"]


def test_an_old_lock_of_poetry_keeps_its_hashes_elsewhere(tmp_path: Path) -> None:
    """In one table for all packages; they hold as much."""
    (tmp_path / "poetry.lock").write_text(
        '[[package]]\nname = "acme"\nversion = "1"\noptional = false\ncategory = "main"\n'
        '[metadata.files]\nacme = [{file = "acme-1.tar.gz", hash = "sha256:aa"}]\n'
    )

    assert read(tmp_path) == ["acme==1 --hash=sha256:aa"]


def test_extras_of_a_repository_and_paths_after_an_at_are_kept(tmp_path: Path) -> None:
    """The forms of a URL's fragment, and of a path that is relative to its file."""
    common = tmp_path / "libs" / "common"
    common.mkdir(parents=True)
    (common / "pyproject.toml").write_text('[project]\nname = "common"\nversion = "1"\n')
    (tmp_path / "requirements.txt").write_text(
        "git+https://git.example/acme.git#egg=acme[fast, xml]&subdirectory=python\ncommon[x] @ ./libs/common\n"
    )

    assert read(tmp_path) == [
        "acme[fast,xml] @ git+https://git.example/acme.git#subdirectory=python",
        f"common[x] @ {common.as_uri()}",
    ]
