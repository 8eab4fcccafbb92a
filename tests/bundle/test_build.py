"""A build takes what runs, leaves out what nothing reads, and gives the same bytes every time."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.bundle.wheelhouse import make_sdist, make_wheel, needed_by, repack

import carboy.bundle
from carboy.bundle import BuildOptions, BuildReport, Entry, build, load_requirements, render_dockerfile
from carboy.bundle.bytecode import find_python
from carboy.bundle.wheels import install_wheels
from carboy.errors import CarboyError, Missing, UsageError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
Make = Callable[..., BuildOptions]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a project with a source, a wheelhouse and requirements."""

    def make_project(
        *needs: str, files: Mapping[str, str] | None = None, name: str = "project", **options: Any
    ) -> BuildOptions:
        project = tmp_path / name
        for path, text in (files or {"src/handler.py": "def handler(event, context):\n    return event\n"}).items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        (tmp_path / "wheels").mkdir(exist_ok=True)
        lines = ["--no-index", f"--find-links {tmp_path / 'wheels'}", *needs]
        (project / "requirements.txt").write_text("\n".join(lines) + "\n")
        return BuildOptions(project, **{"python": PYTHON, "cache_dir": tmp_path / "cache", **options})

    return make_project


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A wheelhouse with a small package in it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    files = {
        "tiny/__init__.py": "def greet():\n    return 'hello'\n",
        "tiny/data.json": "{}",
        "tiny/py.typed": "",
        "tiny/__init__.pyi": "def greet() -> str: ...\n",
        "tiny/fast.c": "int main;",
        "tiny/tests/__init__.py": "",
        "tiny/tests/test_tiny.py": "def test(): pass\n",
        "tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\ntiny = tiny:greet\n",
        "tiny-1.0.dist-info/licenses/LICENSE": "free",
    }
    make_wheel(folder, "tiny", files)
    return folder


def paths(report: BuildReport) -> list[str]:
    """Return what is in a zip, its bytecode left out."""
    with zipfile.ZipFile(report.target) as zipped:
        assert zipped.testzip() is None
        assert sorted(zipped.namelist()) == sorted(entry.path for entry in report.entries)
        return sorted(name for name in zipped.namelist() if "__pycache__" not in name)


@pytest.mark.usefixtures("wheels")
def test_the_same_input_gives_the_same_bytes(make: Make, tmp_path: Path) -> None:
    """Again, without the cache, from another folder, and with other times and modes of the files."""
    files = {f"src/pkg/m{number}.py": f"def f{number}(a, b={{1, 2, 'x'}}):\n    return a\n" for number in range(30)}
    options = make("tiny", files=files)
    first = build(options)
    shutil.copytree(options.service_dir, tmp_path / "else" / "where")
    elsewhere = replace(options, service_dir=tmp_path / "else" / "where", cache_dir=tmp_path / "other-cache")
    for path in elsewhere.service_dir.rglob("*.py"):
        path.touch()
        path.chmod(0o600)

    others = [build(options), build(replace(options, is_rebuild=True)), build(elsewhere)]

    assert {report.sha256 for report in others} == {first.sha256}


@pytest.mark.usefixtures("wheels")
def test_dependencies_are_kept_until_what_names_them_changes(make: Make) -> None:
    assert [build(make("tiny")).is_from_cache for _ in range(2)] == [False, True]
    assert build(make("tiny", files={"src/other.py": "x = 1\n"})).is_from_cache
    assert not build(make("tiny==1.0")).is_from_cache
    assert not build(make("tiny", is_rebuild=True)).is_from_cache


@pytest.mark.usefixtures("wheels")
def test_what_nothing_reads_stays_out(make: Make) -> None:
    """Tests, stubs, compiler's input, console scripts and an installer's notes; licences stay in."""
    report = build(make("tiny"))

    assert paths(report) == [
        "handler.py",
        "tiny-1.0.dist-info/METADATA",
        "tiny-1.0.dist-info/entry_points.txt",
        "tiny-1.0.dist-info/licenses/LICENSE",
        "tiny/__init__.py",
        "tiny/data.json",
    ]


def test_tests_that_a_package_imports_stay_in(make: Make, wheels: Path) -> None:
    make_wheel(wheels, "odd", {"odd/__init__.py": "from odd.tests import x\n", "odd/tests/__init__.py": "x = 1\n"})

    assert "odd/tests/__init__.py" in paths(build(make("odd")))


@pytest.mark.usefixtures("wheels")
def test_every_file_has_a_reason(make: Make) -> None:
    whys = {entry.path: entry.why for entry in build(make("tiny")).entries}

    assert whys["handler.py"] == "source"
    assert whys["tiny/__init__.py"] == "dependency tiny 1.0"
    assert whys["tiny-1.0.dist-info/METADATA"] == "metadata of tiny 1.0"
    assert all(whys.values())


@pytest.mark.usefixtures("wheels")
def test_bytecode_is_used_as_it_is_on_a_read_only_tree(make: Make, tmp_path: Path) -> None:
    """Unchecked-hash files are read without a look at the source, whose time Lambda has changed."""
    report = build(make("tiny"))
    task = tmp_path / "task"
    with zipfile.ZipFile(report.target) as zipped:
        zipped.extractall(task)
    pyc = next((task / "tiny" / "__pycache__").iterdir())
    (task / "tiny" / "__init__.py").write_text("def greet():\n    return 'from source'\n")

    program = "import tiny; print(tiny.greet(), tiny.greet.__code__.co_filename)"
    ran = subprocess.run([sys.executable, "-S", "-c", program], cwd=task, capture_output=True, text=True, check=True)

    assert int.from_bytes(pyc.read_bytes()[4:8], "little") == 1
    assert ran.stdout.split() == ["hello", str(task / "tiny" / "__init__.py")]


def test_an_openapi_document_starts_quickly_on_a_read_only_tree(make: Make, tmp_path: Path) -> None:
    """A copy beside it is read in its place; what only looks like one, and what is not well formed, has none."""
    document = "openapi: 3.1.0\ninfo: {title: pets, version: '1'}\npaths: {}\n"
    files = {
        "src/pets/openapi.yaml": document,
        "src/pets/broken.yaml": "openapi: 3.1.0\n",
        "src/pets/other.yaml": "about: 'openapi: 3.1.0'\n",
        "src/pets/openapi.json": json.dumps(document),
    }
    report = build(make(files=files))

    [copy] = [entry for entry in report.entries if "quick copy" in entry.why]
    assert (copy.why, copy.package) == ("a quick copy of pets/openapi.yaml", "your code")
    with zipfile.ZipFile(report.target) as zipped:
        zipped.extractall(tmp_path / "task")
    loads = "import sys; from carboy.api import load_document as l; print(l('openapi.yaml').name, 'carboy.api.sources' in sys.modules)"  # noqa: E501
    for kept, reads in ((True, False), (False, True)):
        if not kept:
            (tmp_path / "task" / copy.path).unlink()
        ran = subprocess.run(
            [sys.executable, "-c", loads], cwd=tmp_path / "task" / "pets", capture_output=True, text=True, check=True
        )
        assert ran.stdout.split() == ["openapi.yaml", str(reads)]


def test_a_module_that_cannot_be_compiled_is_taken_as_it_is(make: Make) -> None:
    report = build(make(files={"src/good.py": "x = 1\n", "src/template.py": "def {{ name }}\n"}))

    assert "template.py" in paths(report)
    assert [entry.path for entry in report.entries if "pycache" in entry.path] == [
        f"__pycache__/good.cpython-{PYTHON.replace('.', '')}.pyc"
    ]


@pytest.mark.parametrize("python", ["3.10", "3.12", "3.13", "3.14"])
def test_bytecode_is_for_the_functions_python(make: Make, python: str) -> None:
    """Where there is no such interpreter, the zip goes without, and the report says so."""
    report = build(make(python=python))

    compiled = [entry.path for entry in report.entries if entry.path.endswith(".pyc")]
    assert len(compiled) == (find_python(python) is not None)
    assert any("no bytecode" in note for note in report.notes) == (find_python(python) is None)


@pytest.mark.parametrize(("arch", "machine"), [("x86_64", "x86_64"), ("arm64", "aarch64")])
def test_wheels_are_those_of_the_functions_platform(make: Make, wheels: Path, arch: Any, machine: str) -> None:
    for each in ("x86_64", "aarch64"):
        tag = f"cp313-cp313-manylinux_2_17_{each}.manylinux2014_{each}"
        make_wheel(wheels, "native", {"native/__init__.py": f"machine = '{each}'\n"}, tag=tag)

    report = build(make("native", python="3.13", arch=arch))

    with zipfile.ZipFile(report.target) as zipped:
        assert machine in zipped.read("native/__init__.py").decode()


def test_a_package_without_a_wheel_is_named(make: Make, wheels: Path) -> None:
    make_sdist(wheels, "sourceonly")

    with pytest.raises(Missing, match="`sourceonly`") as caught:
        build(make("tiny", "sourceonly", arch="arm64"))

    assert "on arm64" in str(caught.value)
    assert "--image" in caught.value.hint


@pytest.mark.parametrize("name", ["sourceonly", "tiny"])
def test_pip_does_it_where_uv_is_absent(make: Make, wheels: Path, tmp_path: Path, name: str) -> None:
    make_sdist(wheels, "sourceonly")
    requirements = load_requirements(make(name), None)

    if name == "tiny":
        install_wheels(requirements, tmp_path / "installed", "3.13", "arm64", None)
        assert (tmp_path / "installed" / "tiny" / "__init__.py").is_file()
    else:
        with pytest.raises(Missing, match="`sourceonly`"):
            install_wheels(requirements, tmp_path / "installed", "3.13", "arm64", None)


@pytest.fixture
def boto(wheels: Path) -> Path:
    """What stands for boto3: a package with the data of four services."""
    data = {f"botocore/data/{name}/2020/service-2.json": "{}" for name in ("s3", "ec2", "sqs", "sts")}
    make_wheel(wheels, "botocore", {"botocore/__init__.py": "", "botocore/data/endpoints.json": "{}", **data})
    make_wheel(wheels, "uses", {"uses/__init__.py": "def make(boto3):\n    return boto3.client('sqs')\n"})
    return wheels


@pytest.mark.usefixtures("boto")
def test_boto3_stays_out_unless_it_is_asked_for(make: Make) -> None:
    assert not any("botocore" in path for path in paths(build(make("botocore"))))
    assert "botocore/__init__.py" in paths(build(make("botocore", has_boto3=True)))


@pytest.mark.usefixtures("boto")
@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"has_boto3": True}, ["s3", "sqs", "sts"]),
        ({"keep_services": ["ec2"]}, ["ec2", "s3", "sqs", "sts"]),
        ({"keeps_all_services": True}, ["ec2", "s3", "sqs", "sts"]),
    ],
)
def test_boto3_keeps_the_services_that_the_code_names(make: Make, options: dict[str, Any], kept: list[str]) -> None:
    """By a call in a dependency, by a string in the project's own code, or by an option."""
    files = {"src/handler.py": "SERVICE = 's3'\n"}

    report = build(make("botocore", "uses", files=files, **options))

    found = paths(report)
    assert [path.split("/")[2] for path in found if path.endswith("service-2.json")] == kept
    assert "botocore/data/endpoints.json" in found


@pytest.mark.usefixtures("boto")
def test_naming_another_service_brings_its_data(make: Make) -> None:
    """Although the dependencies have not changed."""
    build(make("botocore", has_boto3=True))

    report = build(make("botocore", has_boto3=True, files={"src/handler.py": "SERVICE = 'ec2'\n"}))

    assert "botocore/data/ec2/2020/service-2.json" in paths(report)


SDK = ("s3", "ec2", "sqs", "sts", "xray", "dynamodb")


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("import botocore.session\nbotocore.session.get_session().create_client('xray')\n", "xray"),
        ("from botocore.session import Session\nNAME = 'dynamodb'\nSession().create_client(NAME)\n", "dynamodb"),
        ("import aiobotocore.session\ns.create_client(service_name='s3')\n", "s3"),
        ("import boto3\nKIND = {'a': 'ec2'}\nboto3.session.Session().resource(KIND['a'])\n", "ec2"),
        ("import boto3\ndef client(n):\n    return boto3.client(n)\nclient('sqs')\n", "sqs"),
        ("client('ec2')\n", ""),
    ],
)
def test_what_a_dependency_calls_keeps_its_data(make: Make, wheels: Path, code: str, kept: str) -> None:
    """However the package names the service; a package that does not use the SDK names none."""
    data = {f"botocore/data/{name}/2020/service-2.json": "{}" for name in SDK}
    make_wheel(wheels, "botocore", {"botocore/__init__.py": "", "botocore/data/endpoints.json": "{}", **data})
    make_wheel(wheels, "caller", {"caller/__init__.py": code})

    found = paths(build(make("botocore", "caller", has_boto3=True)))

    services = {path.split("/")[2] for path in found if path.endswith("service-2.json")}
    assert services == {"sts", kept} - {""}


def test_a_wheel_that_was_built_again_under_the_same_version_is_taken(make: Make, wheels: Path) -> None:
    """Though uv has the earlier one in its cache, and so have we."""
    for number in (1, 2):
        make_wheel(wheels, "caller", {"caller/__init__.py": f"NUMBER = {number}\n"})
        with zipfile.ZipFile(build(make("caller")).target) as zipped:
            assert zipped.read("caller/__init__.py") == b"NUMBER = %d\n" % number


@pytest.mark.usefixtures("wheels")
def test_a_wheelhouse_serves_without_a_network(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `UV_OFFLINE`, with which uv refuses to read anything again."""
    monkeypatch.setenv("UV_OFFLINE", "1")

    assert "tiny/__init__.py" in paths(build(make("tiny")))


def test_data_that_a_package_reads_stays_in(make: Make, wheels: Path) -> None:
    """Folders `tests` of data, modules that are only bytecode, and folders that the code names."""
    files = {
        "templates/__init__.py": "",
        "templates/include/tests/generic.sql": "select 1",
        "templates/closed.pyc": "x",
        "reads/__init__.py": "import os\nos.path.join(here, 'tests', 'data.json')\n",
        "reads/tests/__init__.py": "",
        "reads/tests/data.json": "{}",
    }
    make_wheel(wheels, "templates", files)

    found = paths(build(make("templates")))

    assert {*files} <= {*found}


@pytest.mark.usefixtures("wheels")
def test_a_layer_has_the_dependencies_alone(make: Make) -> None:
    report = build(make("tiny", is_layer=True))

    assert report.target.name == "layer.zip"
    assert all(path.startswith("python/tiny") for path in paths(report))


@pytest.mark.usefixtures("wheels")
def test_a_target_is_a_folder_or_a_zip(make: Make, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    made = [build(make(target=tmp_path / name)).target for name in ("there", "new", "deep/my.zip")]
    layer = build(make("tiny", target=tmp_path / "there", is_layer=True)).target

    expected = ["there/lambda_function.zip", "new/lambda_function.zip", "deep/my.zip", "there/layer.zip"]
    assert [path.relative_to(tmp_path).as_posix() for path in [*made, layer]] == expected


def test_carboy_comes_from_where_this_process_has_it(make: Make) -> None:
    """An installation from a clone is packed as it runs; a version that it is not is still an error."""
    options = make("carboy")
    repack(options.service_dir.parent / "wheels", *(needed_by("carboy") - {"carboy"}))

    report = build(options)

    with zipfile.ZipFile(report.target) as zipped:
        assert zipped.read("carboy/bundle/build.py") == Path(carboy.bundle.build.__code__.co_filename).read_bytes()
    with pytest.raises(CarboyError, match="carboy"):
        build(make("carboy>=99"))


def test_what_is_excluded_stays_out(make: Make) -> None:
    files = {"src/a.py": "", "src/README.md": "", "src/deep/notes.md": "", "src/deep/secret.pem": ""}

    assert paths(build(make(files=files, exclude=["*.md", "deep/*.pem"]))) == ["a.py"]


def test_a_project_without_src_gives_its_packages_and_modules(make: Make) -> None:
    files = {
        "app/__init__.py": "",
        "app/openapi.yaml": "",
        "app/tests/test_app.py": "",
        "handler.py": "",
        "setup.py": "",
        "tests/__init__.py": "",
        "migrations/env.py": "",
        "notes/todo.txt": "",
        ".env": "SECRET=1",
    }

    expected = ["app/__init__.py", "app/openapi.yaml", "handler.py", "migrations/env.py"]
    assert paths(build(make(files=files))) == expected


def test_a_source_can_be_named(make: Make) -> None:
    options = make(files={"src/a.py": "", "lib/b.py": "", "pkg/__init__.py": ""})

    assert paths(build(replace(options, source=Path("lib")))) == ["b.py"]
    assert paths(build(replace(options, source=Path("pkg")))) == ["pkg/__init__.py"]
    with pytest.raises(UsageError, match="nowhere"):
        build(replace(options, source=Path("nowhere")))


def test_build_information_is_the_commits(make: Make) -> None:
    """Its hash and its own time, so that the zip stays the same; what the project's own file says is kept."""
    options = make(files={"src/config.json": '{"mine": 1}', "src/a.py": ""}, has_build_info=True)
    git = ["git", "-C", str(options.service_dir), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    date = {"GIT_COMMITTER_DATE": "2026-01-02T03:04:05+01:00", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True, env=date)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    report = build(options)

    with zipfile.ZipFile(report.target) as zipped:
        content = json.loads(zipped.read("config.json"))
    assert content == {"mine": 1, "VERSION_HASH": commit, "BUILD_TIME": "2026-01-02T02:04:05Z"}
    assert build(options).sha256 == report.sha256


def test_build_information_needs_a_commit(make: Make) -> None:
    with pytest.raises(CarboyError, match="build information"):
        build(make(has_build_info=True))


@pytest.mark.usefixtures("wheels")
def test_a_module_that_hides_a_dependency_is_an_error(make: Make) -> None:
    with pytest.raises(CarboyError, match=r"tiny/__init__\.py"):
        build(make("tiny", files={"src/tiny/__init__.py": ""}))


def test_what_lambda_would_not_take_is_said(tmp_path: Path) -> None:
    entry = Entry("a", 260 * 1024 * 1024, "source", "your code")
    report = BuildReport(tmp_path, "", 1, entry.size_bytes, [entry], is_from_cache=False, notes=[])

    assert not report.fits
    assert report.unpacked_room_bytes == -10 * 1024 * 1024
    assert replace(report, unpacked_bytes=250 * 1024 * 1024, zip_bytes=50 * 1024 * 1024).fits


def test_the_heaviest_packages_come_first(tmp_path: Path) -> None:
    entries = [Entry(f"{number}", number % 13, "", f"package {number % 13}") for number in range(100)]
    report = BuildReport(tmp_path, "", 1, 1, entries, is_from_cache=False, notes=[])

    largest = report.largest()

    assert len(largest) == 10
    assert largest[0].name == "package 12"


@pytest.mark.parametrize("wrong", [{"python": "3.9"}, {"arch": "mips"}])
def test_a_platform_that_lambda_has_not_is_refused(make: Make, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make(**wrong)


def test_an_image_is_a_recipe(make: Make) -> None:
    options = make(
        files={"app/__init__.py": "", "handler.py": ""}, python="3.13", arch="arm64", system_packages=["libpq"]
    )

    recipe = render_dockerfile(options, "flask==3.1.3\n")

    assert "FROM --platform=linux/arm64 public.ecr.aws/lambda/python:3.13" in recipe
    assert "RUN dnf install -y libpq" in recipe
    assert "flask==3.1.3" in recipe
    assert "COPY app ${LAMBDA_TASK_ROOT}/app" in recipe
    assert 'CMD ["handler.handler"]' in recipe
