"""Every file that names dependencies is read, or the build stops and names it: a zip never lacks them silently."""

from pathlib import Path

import pytest
from tests.bundle.projects import make_index, make_library, options_for, write_files
from tests.bundle.test_sources import private, public, said_by

from carboy.bundle.requirements import load_requirements
from carboy.errors import CarboyError

__all__ = ["private", "public"]

PROJECT = '[project]\nname = "service"\nversion = "1"\ndependencies = ["acme"]\n'


@pytest.mark.server
@pytest.mark.usefixtures("public")
@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"pyproject.toml": PROJECT + '[[tool.uv.index]]\nurl = "{private}"\ndefault = true\n'}, "private"),
        ({"pyproject.toml": PROJECT + '[[tool.uv.index]]\nname = "p"\nurl = "{private}"\n'}, "private"),
        ({"pyproject.toml": PROJECT + '[[tool.uv.index]]\nname="p"\nurl="{private}"\nexplicit=true\n'}, "public"),
        ({"pyproject.toml": PROJECT + '[tool.uv]\nindex-url = "{private}"\n'}, "private"),
        ({"pyproject.toml": PROJECT + '[tool.uv]\nextra-index-url = ["{private}"]\n'}, "private"),
        ({"pyproject.toml": PROJECT, "uv.toml": 'index-url = "{private}"\n'}, "private"),
        ({"requirements.txt": "acme\n", "uv.toml": '[[index]]\nurl = "{private}"\ndefault = true\n'}, "private"),
    ],
)
def test_the_index_that_a_project_names_is_stronger_than_a_mirror(
    tmp_path: Path, private: Path, files: dict[str, str], says: str
) -> None:
    """As uv has it, which reads no configuration of pip."""
    texts = {name: text.replace("{private}", private.as_uri()) for name, text in files.items()}
    project = write_files(tmp_path / "service", {"src/handler.py": "", **texts})
    assert said_by(project) == says


@pytest.mark.server
@pytest.mark.usefixtures("public")
def test_another_index_of_uv_is_another_installation(tmp_path: Path) -> None:
    """The cache does not give what came from the index before."""
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "acme\n"})
    for name in ("first", "second"):
        url = make_index(tmp_path / name, "acme", {"acme/__init__.py": f"says = '{name}'\n"})
        write_files(project, {"pyproject.toml": f'[tool.uv]\nindex-url = "{url}"\n'})
        assert said_by(project) == name


PYLOCK = """
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "acme"
version = "1.0"
marker = "python_version > '3'"
[packages.directory]
path = "../acme"
[[packages]]
name = "other"
version = "2.0"
index = "https://private.example/simple"
wheels = [{ name = "other-2.0-py3-none-any.whl", url = "https://x/other.whl", hashes = { sha256 = "ab" } }]
[[packages]]
name = "from-git"
[packages.vcs]
type = "git"
url = "https://git.example/from-git"
commit-id = "abc"
subdirectory = "python"
[[packages]]
name = "six"
version = "1.17.0"
index = "https://pypi.org/simple"
"""


def test_a_standard_lock_is_read(tmp_path: Path) -> None:
    """`pylock.toml` of PEP 751: folders, repositories, indexes and hashes."""
    project = write_files(tmp_path / "service", {"pylock.toml": PYLOCK, "pyproject.toml": PROJECT})
    acme = make_library(tmp_path / "acme", "acme", "local")
    found = [(line.render(), line.index) for line in load_requirements(options_for(project), None).lines]
    assert found == [
        (f"acme @ {acme.as_uri()} ; python_version > '3'", None),
        ("other==2.0 --hash=sha256:ab", "https://private.example/simple"),
        ("from-git @ git+https://git.example/from-git@abc#subdirectory=python", None),
        ("six==1.17.0", None),
    ]


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({"setup.cfg": "[options]\ninstall_requires =\n  acme>1; python_version>'3'\n  # no\n  other\n"},
         ["acme>1; python_version>'3'", "other"]),
        ({"setup.cfg": "[options]\ninstall_requires = acme; other\n"}, ["acme", "other"]),
        ({"setup.cfg": "[options]\ninstall_requires = file: a.txt, b.txt\n", "a.txt": "acme\n", "b.txt": "other\n"},
         ["acme", "other"]),
        ({"setup.cfg": "[options]\ninstall_requires = acme\n", "pyproject.toml": "[tool.black]\n"}, ["acme"]),
        ({"setup.cfg": "[options]\ninstall_requires = acme\n", "pyproject.toml": "[project]\ndynamic=['dependencies']"},
         ["acme"]),
        ({"setup.py": "setup(name='x')\n"}, []),
        ({"Pipfile": '[packages]\nacme = "*"\n', "pyproject.toml": "[tool.black]\n"}, ["acme"]),
        ({"pyproject.toml": "[tool.black]\n", "requirements-dev.txt": "pytest\n", "requirements/test.txt": "x\n"}, []),
    ],
)  # fmt: skip
def test_the_files_of_older_projects_are_read(tmp_path: Path, files: dict[str, str], lines: list[str]) -> None:
    """What is declared is followed; the requirements of tools are not the service's."""
    project = write_files(tmp_path / "service", files)
    assert [line.text for line in load_requirements(options_for(project), None).lines] == lines


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"setup.py": "setup(install_requires=['acme'])\n"}, "`setup.py`"),
        ({"requirements/base.txt": "acme\n"}, "`requirements/base.txt`"),
        ({"requirements/prod.txt": "acme\n", "pyproject.toml": "[tool.black]\n"}, "`requirements/prod.txt`"),
        ({"requirements.in": "acme\n"}, "`requirements.in`"),
        ({"environment.yml": "dependencies: [acme]\n"}, "`environment.yml`"),
        ({"pyproject.toml": "[tool.flit.metadata]\nrequires = ['acme']\n"}, "Flit"),
        ({"pyproject.toml": PROJECT, "pdm.lock": ""}, "PDM"),
        ({"pyproject.toml": PROJECT + '[[tool.pdm.source]]\nname = "pypi"\nurl = "https://p.example"\n'}, "PDM"),
        ({"pyproject.toml": PROJECT + '[tool.poetry.dependencies]\nacme = { path = "../acme" }\n'}, "Poetry"),
        ({"pyproject.toml": PROJECT + '[[tool.poetry.source]]\nname = "p"\nurl = "https://p.example"\n'}, "Poetry"),
        ({"pylock.toml": "[[packages]]\nname = 'acme'\nmarker = \"'a' in dependency_groups\"\n"}, "group"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_read_stops_the_build(tmp_path: Path, files: dict[str, str], said: str) -> None:
    """In place of a zip without its dependencies, or with a registry's package of that name."""
    with pytest.raises(CarboyError) as caught:
        load_requirements(options_for(write_files(tmp_path / "service", files)), None)
    assert said in str(caught.value)
    assert caught.value.hint
