"""pip's configuration says where packages come from, whichever program installs them."""

import ssl
import zipfile
from pathlib import Path

import pytest
from tests.bundle.projects import make_index, options_for, write_files

from carboy.bundle import build
from carboy.bundle.pip_config import load_pip_config
from carboy.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _without_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose pip is not configured, and which reaches no index."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "none.conf"))


def test_variables_are_stronger_than_files(tmp_path: Path) -> None:
    """Of the files the named one, then the user's; of their sections `install`."""
    write_files(
        tmp_path,
        {
            ".config/pip/pip.conf": "[global]\nindex-url = https://user\nextra-index-url =\n  https://a\n  https://b\n"
            "no-index = false\n[install]\ntrusted-host = a.example\n",
            "named.conf": "[global]\nindex_url = https://named\n",
        },
    )
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "named.conf"), "PIP_CERT": "/ca.pem"}

    config = load_pip_config(environ, tmp_path)
    by_variable = load_pip_config({**environ, "PIP_INDEX_URL": "https://variable", "PIP_NO_INDEX": "1"}, tmp_path)

    assert (config.index_url, config.extra_index_urls[-2:]) == ("https://named", ("https://a", "https://b"))
    assert (config.trusted_hosts, config.cert, config.is_without_index) == (("a.example",), "/ca.pem", False)
    assert (by_variable.index_url, by_variable.is_without_index) == ("https://variable", True)


def test_no_file_counts_when_pip_is_to_read_none(tmp_path: Path) -> None:
    write_files(tmp_path, {".config/pip/pip.conf": "[global]\nindex-url = https://user\n"})

    assert load_pip_config({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}, tmp_path).index_url == ""


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, {"pip.conf": "index-url = https://user\n"})

    with pytest.raises(ConfigurationError, match=r"pip\.conf"):
        load_pip_config({"HOME": str(tmp_path)}, tmp_path)


@pytest.mark.server
@pytest.mark.parametrize("by", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "pip.conf"])
def test_packages_come_from_the_index_that_pip_would_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    index = tmp_path / "index"
    url = make_index(index, "acme", {"acme.py": ""})
    if by == "pip.conf":
        write_files(tmp_path, {"none.conf": f"[global]\nindex-url = {url}\n"})
    else:
        monkeypatch.setenv("PIP_INDEX_URL", url if by == "PIP_INDEX_URL" else make_index(tmp_path / "b", "b", {}))
        monkeypatch.setenv(by, str(index / "acme") if by == "PIP_FIND_LINKS" else url)
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "acme\n"})

    report = build(options_for(project))

    assert "acme.py" in zipfile.ZipFile(report.target).namelist()


@pytest.mark.server
def test_the_variables_of_uv_are_stronger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_index(tmp_path / "uv", "acme", {"acme.py": "says = 'uv'\n"})
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", make_index(tmp_path / "pip", "acme", {"acme.py": "says = 'pip'\n"}))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "pip" / "acme"))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "uv" / "acme"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "acme\n"})

    report = build(options_for(project))

    names = zipfile.ZipFile(report.target).namelist()
    assert b"uv" in zipfile.ZipFile(report.target).read("acme.py"), names


@pytest.mark.server
def test_another_index_is_another_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache knows what decided: the index, and the state of a local one."""
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "acme\n"})
    said = []
    for name, version in (("one", "1.0"), ("two", "1.0"), ("two", "2.0")):
        url = make_index(tmp_path / name, "acme", {"acme.py": f"says = '{name} {version}'\n"}, version=version)
        (tmp_path / name / version).touch()
        monkeypatch.setenv("PIP_INDEX_URL", url)
        report = build(options_for(project))
        said.append((report.is_from_cache, zipfile.ZipFile(report.target).read("acme.py").decode().split("'")[1]))

    assert said == [(False, "one 1.0"), (False, "two 1.0"), (False, "two 2.0")]
    assert build(options_for(project)).is_from_cache


@pytest.mark.server
def test_a_wheel_that_was_replaced_is_packed(tmp_path: Path) -> None:
    from tests.bundle.wheelhouse import make_wheel

    project = write_files(tmp_path / "service", {"src/handler.py": ""})
    write_files(project, {"requirements.txt": "./acme-1.0-py3-none-any.whl\n"})
    said = []
    for number in (1, 2):
        make_wheel(project, "acme", {"acme.py": f"number = {number}\n"})
        said.append(zipfile.ZipFile(build(options_for(project)).target).read("acme.py").decode())

    assert said == ["number = 1\n", "number = 2\n"]


def test_the_cache_is_where_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from carboy.bundle import BuildOptions

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    named = BuildOptions(tmp_path).cache_dir
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification has ignored

    assert named == tmp_path / "xdg" / "carboy" / "build"
    assert BuildOptions(tmp_path).cache_dir == Path.home() / ".cache" / "carboy" / "build"


@pytest.mark.server
@pytest.mark.parametrize("by", ["PIP_EXTRA_INDEX_URL", "requirements.txt"])
@pytest.mark.parametrize("tag", ["cp39-cp39-manylinux2014_x86_64", "py3-none-any"])
def test_no_index_hides_the_versions_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, tag: str
) -> None:
    """Beside an index with an older version, or with no wheel for the platform, the main one is asked too."""
    monkeypatch.setenv("PIP_INDEX_URL", make_index(tmp_path / "main", "acme", {"acme.py": "main = 1\n"}, version="0.9"))
    extra = make_index(tmp_path / "extra", "acme", {"acme.py": "extra = 1\n"}, version="0.1", tag=tag)
    lines = f"--extra-index-url {extra}\nacme\n" if by == "requirements.txt" else "acme\n"
    monkeypatch.setenv(by, extra)
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": lines})

    report = build(options_for(project))

    assert b"main" in zipfile.ZipFile(report.target).read("acme.py")


@pytest.mark.server
def test_the_strategy_of_uv_is_stronger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants a private index to hide the public one says so to uv."""
    monkeypatch.setenv(
        "PIP_INDEX_URL", make_index(tmp_path / "main", "acme", {"acme.py": "public = 1\n"}, version="9.9")
    )
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", make_index(tmp_path / "extra", "acme", {"acme.py": "private = 1\n"}))
    monkeypatch.setenv("UV_INDEX_STRATEGY", "first-index")
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "acme\n"})

    report = build(options_for(project))

    assert b"private" in zipfile.ZipFile(report.target).read("acme.py")


@pytest.mark.server
def test_what_uv_has_no_platform_for_is_installed_by_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon Linux 2 has glibc 2.26; uv knows 2.17 and 2.28."""
    url = make_index(tmp_path / "main", "acme", {"acme.py": ""}, tag="cp311-cp311-manylinux_2_26_x86_64")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    project = write_files(tmp_path / "service", {"src/handler.py": "", "requirements.txt": "acme\n"})

    report = build(options_for(project, python="3.11"))

    assert "acme.py" in zipfile.ZipFile(report.target).namelist()


def test_uv_waits_as_long_as_pip(tmp_path: Path) -> None:
    config = load_pip_config({"HOME": str(tmp_path), "PIP_DEFAULT_TIMEOUT": "180", "PIP_RETRIES": "9"}, tmp_path)

    environ = config.uv_environ({"UV_HTTP_RETRIES": "2"})

    assert (environ["UV_HTTP_TIMEOUT"], environ["UV_HTTP_RETRIES"]) == ("180", "2")


def test_uv_trusts_the_systems_certificates_where_there_are_any(tmp_path: Path) -> None:
    """As pip does: a company's own authority stands there."""
    found = load_pip_config({"HOME": str(tmp_path)}, tmp_path).uv_environ({})
    chosen = load_pip_config({"HOME": str(tmp_path)}, tmp_path).uv_environ({"UV_SYSTEM_CERTS": "0"})

    assert found.get("UV_SYSTEM_CERTS") == ("1" if any(ssl.get_default_verify_paths()[:2]) else None)
    assert chosen["UV_SYSTEM_CERTS"] == "0"
