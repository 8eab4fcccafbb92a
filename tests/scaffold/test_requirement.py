"""A new service asks for the Carboy that made it: the release, or where it was installed from."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.bundle.wheelhouse import make_wheel

from carboy import __version__
from carboy.scaffold.requirement import Origin, find_origin

PROGRAM = (
    "from carboy.scaffold.requirement import find_origin as f; o = f(); "
    "print(o.requirement(['db']), o.context, o.copies(), sep='\\n')"
)


@pytest.mark.parametrize(
    ("direct_url", "expected"),
    [
        (None, f"carboy[db]>={__version__}"),
        ({"url": "file:///nowhere/carboy", "dir_info": {}}, f"carboy[db]>={__version__}"),
        ({"url": "file://{here}", "dir_info": {"editable": True}}, "carboy[db] @ file://{here}"),
        ({"url": "https://a.example/carboy-1-py3-none-any.whl"}, "carboy[db] @ https://a.example/carboy-1-py3-none-any.whl"),
        (
            {"url": "https://a.example/carboy.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "carboy[db] @ git+https://a.example/carboy.git@abc",
        ),
    ],
)  # fmt: skip
def test_it_follows_the_installation(tmp_path: Path, direct_url: dict[str, object] | None, expected: str) -> None:
    """In a process whose Carboy was installed so; what is gone meanwhile is asked of the index."""
    info = tmp_path / f"carboy-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: carboy\nVersion: {__version__}\n")
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url).replace("{here}", str(tmp_path)))

    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {PROGRAM}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.splitlines()[0] == expected.replace("{here}", str(tmp_path))


def test_a_container_gets_what_lies_on_this_machine(tmp_path: Path) -> None:
    """Where the requirement names it, from a build context of its own."""
    make_wheel(tmp_path, "carboy", {"carboy/__init__.py": ""})
    wheel = next(tmp_path.glob("*.whl"))
    folder, file, index = Origin(tmp_path.as_uri(), tmp_path), Origin(wheel.as_uri(), wheel), Origin()

    assert (folder.context, file.context, index.context) == (tmp_path, tmp_path, None)
    assert all(f" {tmp_path}" in line for line in (*folder.copies(), *file.copies()))
    assert index.copies() == []


def test_every_requirement_of_a_service_is_the_same(whole: Path) -> None:
    """That of the project, of its tools and of its container."""
    origin = find_origin()
    document = tomllib.loads((whole / "pyproject.toml").read_text())
    container = (whole / "Dockerfile").read_text()

    lines = [*document["project"]["dependencies"], document["project"]["optional-dependencies"]["dev"][0]]
    assert all(line.endswith(origin.requirement([]).partition("]")[2]) for line in lines)
    assert f"'{origin.requirement(['serve'])}'" in container
    assert all(line in container for line in origin.copies())
