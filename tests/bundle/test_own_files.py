"""The project's own code: what runs goes in, what stays out is named, secrets and strange files do not slip in."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.bundle.projects import options_for, write_files

from carboy.bundle import build
from carboy.errors import CarboyError


def built(folder: Path, **given: Any) -> tuple[list[str], str]:
    """Build a project and return its own files in the zip, and the notes."""
    report = build(options_for(folder, **given))
    names = zipfile.ZipFile(report.target).namelist()
    return sorted(name for name in names if "__pycache__" not in name), "\n".join(report.notes)


@pytest.mark.server
def test_packages_need_no_init(tmp_path: Path) -> None:
    project = write_files(tmp_path / "a", {"handler.py": "", "shop/orders/views.py": "", "assets/logo.svg": ""})

    assert built(project)[0] == ["handler.py", "shop/orders/views.py"]
    assert "`assets/`" in built(project)[1]


@pytest.mark.server
@pytest.mark.parametrize("name", ["tasks", "scripts", "docs", "build", "dist", "examples", "test"])
@pytest.mark.parametrize(
    "statement", ["import {0}", "from {0} import run", "    import os, {0}", "import_module('{0}')", "x = '{0}.run:go'"]
)
def test_what_the_code_imports_goes_in(tmp_path: Path, name: str, statement: str) -> None:
    """The name does not matter; what nothing imports is listed."""
    files = {"handler.py": statement.format(name) + "\n", f"{name}/run.py": "", "conftest.py": "", "fabfile.py": ""}
    project = write_files(tmp_path / "a", files)

    names, notes = built(project)

    assert f"{name}/run.py" in names
    assert "`fabfile.py`" in notes
    assert f"`{name}/`" not in notes


@pytest.mark.server
def test_what_imported_code_imports_goes_in_too(tmp_path: Path) -> None:
    project = write_files(
        tmp_path / "a",
        {"handler.py": "import tasks\n", "tasks.py": "from scripts.x import y\n", "scripts/x.py": "y = 1\n"},
    )

    assert built(project)[0] == ["handler.py", "scripts/x.py", "tasks.py"]


@pytest.mark.server
def test_modules_of_the_settings_go_in(tmp_path: Path) -> None:
    project = write_files(
        tmp_path / "a",
        {
            "handler.py": "",
            "carboy.toml": 'modules = ["tasks", "scripts.more"]\n',
            "tasks.py": "",
            "scripts/more.py": "",
        },
    )

    assert {"tasks.py", "scripts/more.py"} <= set(built(project)[0])


@pytest.mark.server
@pytest.mark.parametrize("root", ["src/", ""])
def test_a_package_tests_goes_in_when_the_code_imports_it(tmp_path: Path, root: str) -> None:
    """A laboratory has tests as its subject; data in such a folder is data."""
    files = {
        f"{root}lab/__init__.py": "from lab.tests import blood\n",
        f"{root}lab/tests/blood.py": "",
        f"{root}other/__init__.py": "",
    }
    named = write_files(tmp_path / "named", files)
    unnamed = write_files(
        tmp_path / "unnamed", {**files, f"{root}lab/__init__.py": "", f"{root}other/tests/a.json": ""}
    )

    assert "lab/tests/blood.py" in built(named)[0]
    names, notes = built(unnamed)
    assert "other/tests/a.json" in names
    assert "lab/tests/blood.py" not in names
    assert "`lab/tests/`" in notes
    assert "lab/tests/blood.py" in built(unnamed, include=["lab/tests"])[0]


@pytest.mark.server
def test_own_data_of_every_kind_goes_in(tmp_path: Path) -> None:
    """Also what would be a compiler's input in a package."""
    names = [f"app/data/x.{suffix}" for suffix in ("c", "h", "cpp", "a", "orig", "swp", "pyx", "pyi")]
    project = write_files(tmp_path / "a", {"app/__init__.py": "", **dict.fromkeys(names, "x")})

    assert set(names) <= set(built(project)[0])


@pytest.mark.server
def test_a_module_without_its_source_goes_in(tmp_path: Path) -> None:
    project = write_files(
        tmp_path / "a", {"src/handler.py": "", "src/closed.pyc": "x", "src/open.py": "", "src/open.pyc": "x"}
    )

    assert built(project)[0] == ["closed.pyc", "handler.py", "open.py"]


SECRETS = (
    *(".env", ".env.prod", "key.pem", "server.key", "id_rsa", "store.p12", ".netrc", ".pypirc", ".aws/credentials"),
    *("instance/local-key", "deep/.env", "certs/server.crt", "credentials", "account.json", "terraform.tfstate"),
)


@pytest.mark.server
@pytest.mark.parametrize("source", [".", None])
def test_secrets_stay_out_and_are_named(tmp_path: Path, source: str | None) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nx\n"
    below = "" if source else "src/"
    files = {f"{below}{name}": key for name in SECRETS}
    public = {f"{below}{name}": "-----BEGIN CERTIFICATE-----\n" for name in ("ca.pem", "ca.crt", ".env.example")}
    project = write_files(tmp_path / "a", {**files, **public, f"{below}handler.py": ""})

    names, notes = built(project, source=project if source else None)

    assert set(names) == {"handler.py", "ca.pem", "ca.crt", ".env.example"}
    for name in SECRETS:
        assert f"`{name}`" in notes or f"`{name.partition('/')[0]}/`" in notes, name


@pytest.mark.server
def test_a_secret_behind_a_link_stays_out(tmp_path: Path) -> None:
    project = write_files(tmp_path / "a", {"src/handler.py": "", ".env": "A=1"})
    (project / "src" / "settings.txt").symlink_to("../.env")

    names, notes = built(project)

    assert names == ["handler.py"]
    assert "`settings.txt`" in notes


@pytest.mark.server
def test_what_is_asked_for_goes_in(tmp_path: Path) -> None:
    files = {"src/handler.py": "", "src/client.key": "x", "src/instance/seed.json": "", "src/.env": ""}
    project = write_files(tmp_path / "a", files)

    assert built(project, include=["*.key", "instance"])[0] == ["client.key", "handler.py", "instance/seed.json"]


@pytest.mark.server
@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "../../beside.txt", "nowhere", "/dev/zero"])
def test_a_link_out_of_the_project_is_refused(tmp_path: Path, target: str) -> None:
    """By name; one that is excluded does not count."""
    project = write_files(tmp_path / "a", {"src/handler.py": ""})
    write_files(tmp_path, {"beside.txt": "x"})
    (project / "src" / "linked").symlink_to(target)

    with pytest.raises(CarboyError, match="`linked`"):
        build(options_for(project))
    if not Path("/", target).is_dir():
        assert built(project, exclude=["linked"])[0] == ["handler.py"]


@pytest.mark.server
def test_links_within_the_project_and_to_packages_are_followed(tmp_path: Path) -> None:
    """Also in a circle; a package from outside is named."""
    project = write_files(tmp_path / "a", {"src/handler.py": "", "shared/x.py": ""})
    write_files(tmp_path, {"outside/__init__.py": ""})
    (project / "src" / "shared").symlink_to("../shared")
    (project / "src" / "outside").symlink_to(tmp_path / "outside")
    (project / "shared" / "again").symlink_to("../shared")

    names, notes = built(project)

    assert names == ["handler.py", "outside/__init__.py", "shared/x.py"]
    assert "`outside/`" in notes


@pytest.mark.server
def test_what_is_not_a_plain_file_is_named(tmp_path: Path) -> None:
    """A pipe would be read for ever."""
    project = write_files(tmp_path / "a", {"src/handler.py": ""})
    os.mkfifo(project / "src" / "queue")

    names, notes = built(project)

    assert names == ["handler.py"]
    assert "`queue`" in notes


@pytest.mark.server
def test_environments_and_earlier_zips_stay_out(tmp_path: Path) -> None:
    files = {"handler.py": "", "env/pyvenv.cfg": "", "env/lib/x.py": "", ".git/config": "", "a/__pycache__/b.pyc": ""}
    project = write_files(tmp_path / "a", files)

    first = built(project, source=project)

    assert first[0] == ["handler.py"]
    assert built(project, source=project) == first


@pytest.mark.server
def test_a_broken_build_information_is_reported_in_words(tmp_path: Path) -> None:
    import subprocess

    project = write_files(tmp_path / "a", {"src/config.json": "{"})
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)

    with pytest.raises(CarboyError, match=r"config\.json"):
        build(options_for(project, has_build_info=True))
