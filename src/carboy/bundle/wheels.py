"""Install wheels for the function's platform into a folder: by uv, by pip where it is absent.

Only what a project itself keeps as source is built: local folders, repositories and archives.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from carboy.bundle.lines import Line, Requirements, canonical, refused
from carboy.bundle.options import PYTHONS, Arch
from carboy.bundle.pip_config import PipConfig, load_pip_config
from carboy.bundle.target_markers import applicable, unmet
from carboy.bundle.uv_settings import has_default_index, names_indexes, uv_settings
from carboy.config.environ import read_environ
from carboy.errors import CarboyError, Missing

_NEW_SYSTEM = {"3.12", "3.13", "3.14"}  # Amazon Linux 2023 has glibc 2.34, Amazon Linux 2 before it 2.26
_MACHINES: dict[Arch, str] = {"x86_64": "x86_64", "arm64": "aarch64"}
_INDEX_OPTIONS = ("-i ", "-i=", "--index-url", "--no-index")
_UV_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX", "UV_FIND_LINKS")
_ROUNDS = 10
_MANY = 500
_NO_WHEEL = (
    re.compile(r"all versions of ([A-Za-z0-9._-]+)(?:[=<>!~]\S+)? have no (?:usable )?wheels"),
    re.compile(r"([A-Za-z0-9._-]+?)(?:==\S+)? has no (?:usable )?wheels"),
    re.compile(r"Building source distributions for `([A-Za-z0-9._-]+)` is disabled"),
    re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)"),
)


def find_uv() -> str | None:
    """Return the path of uv, on the PATH or beside this Python, or None."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None:
        try:
            from uv import find_uv_bin

            found = find_uv_bin()
        except (ImportError, FileNotFoundError):
            return None
    return found


def install_wheels(requirements: Requirements, target: Path, python: str, arch: Arch, uv: str | None) -> None:
    """Install requirements into a folder, each from the source that its line names.

    Args:
        requirements: what to install.
        target: the folder; it is made.
        python: the minor version that the wheels are for.
        arch: the processor that they are for.
        uv: the program; None to use pip.

    Raises:
        Missing: a package has no wheel for the platform; it is named.
        CarboyError: anything else went wrong.
    """
    for line in requirements.lines:
        if line.is_source and not line.name:
            raise refused(
                line.text, "it is not a Python project with a name", "give its `pyproject.toml` a `[project]` table"
            )
    folder = (requirements.origin or target).resolve().parent
    with tempfile.TemporaryDirectory(prefix="carboy-install-") as work:
        how = (requirements, Path(work), folder, target, python, arch)
        try:
            _install_by_uv(uv, *how) if uv else _install_by_pip(*how)
        except Missing as missing:
            if not (uv and find_spec("pip")) or names_indexes(uv_settings(folder)):
                raise
            try:
                _install_by_pip(*how)  # uv has fewer platforms: no glibc between 2.17 and 2.28
            except CarboyError:
                raise missing from missing.__cause__
    for line in requirements.lines:
        if line.is_source and _is_compiled(target, line.name):
            raise refused(
                line.name,
                "it was built here and has compiled code, which runs on this machine alone",
                "name a wheel of it for the function's platform, or build an image instead (--image)",
            )


def _install_by_uv(
    uv: str, requirements: Requirements, work: Path, folder: Path, target: Path, python: str, arch: Arch
) -> None:
    environ, config, settings = read_environ(), load_pip_config(read_environ()), uv_settings(folder)
    if names_indexes(settings):  # then by uv's rule, in whose files they are: the first that has a package
        environ = {"UV_INDEX_STRATEGY": settings.get("index-strategy", "first-index"), **environ}
    platform = f"{_MACHINES[arch]}-manylinux_2_{34 if python in _NEW_SYSTEM else 17}"
    text = work / "requirements.txt"
    text.write_text(requirements.render(), "utf-8")
    has_own_index = any(line.text.startswith(_INDEX_OPTIONS) for line in requirements.lines)
    has_more_indexes = any(line.text.startswith("--extra-index-url") for line in requirements.lines)
    has_own_index = has_own_index or has_default_index(settings)
    command = [
        *(uv, "pip", "install", "--quiet", "--python", sys.executable, "--only-binary", ":all:"),
        *("--python-version", PYTHONS[python], "--python-platform", platform, "--target", str(target), "-r", str(text)),
        *config.uv_arguments(environ, has_own_index=has_own_index, has_more_indexes=has_more_indexes),
    ]
    if pins := {line.name: line.index for line in requirements.lines if line.index}:
        (work / "pins").mkdir()
        (work / "pins" / "pyproject.toml").write_text(_render_pins(pins), "utf-8")
        command += ["-r", str(work / "pins" / "pyproject.toml")]
    built = {line.name for line in requirements.lines if line.is_source}
    command += [argument for name in sorted(built) for argument in ("--no-binary", name)]
    if environ.get("UV_OFFLINE", "").lower() in {"", "0", "false", "no", "off", "f", "n"}:  # else uv refuses the two
        command += _refreshed(built, _local_indexes(requirements, config, environ))
    _run(command, folder, config.uv_environ(environ), python, arch)


def local_paths(urls: Iterable[str]) -> list[Path]:
    """Return the paths of those URLs that are files or folders of this machine."""
    return [Path(unquote(url.removeprefix("file://"))) for url in urls if url.startswith(("file:///", "/", "."))]


def _local_indexes(requirements: Requirements, config: PipConfig, environ: Mapping[str, str]) -> list[Path]:
    """Return the paths of the indexes and wheelhouses on this machine that may be asked."""
    variables = (value for name, value in environ.items() if name.startswith(_UV_INDEXES))
    pinned = (line.index for line in requirements.lines if line.index)
    urls = (config.index_url, *config.extra_index_urls, *config.find_links, *variables, *pinned)
    return [*local_paths(urls), *(line.path for line in requirements.lines if line.path and line.text.startswith("-"))]


def _refreshed(built: set[str], indexes: Sequence[Path]) -> list[str]:
    """Return the arguments by which uv reads again what is on this machine: sources, and wheels of wheelhouses.

    It keeps a wheel by its path, and does not see that another was put there.
    """
    names = built | {canonical(file.name.partition("-")[0]) for path in indexes for file in path.glob("*.whl")}
    if len(names) > _MANY:
        return ["--refresh"]
    return [argument for name in sorted(names) for argument in ("--refresh-package", name)]


def _render_pins(pins: dict[str, str]) -> str:
    """Return a project file by which uv takes packages from one index each, and from no other."""
    lines = ["[project]", 'name = "pins"', 'version = "0"', f"dependencies = {sorted(pins)}", "[tool.uv.sources]"]
    numbers = {url: number for number, url in enumerate(sorted(set(pins.values())))}
    lines += [f'{name} = {{ index = "pin-{numbers[url]}" }}' for name, url in sorted(pins.items())]
    for url, number in numbers.items():
        lines += ["[[tool.uv.index]]", f'name = "pin-{number}"', f"url = '{url}'", "explicit = true"]
        if "://" not in url and any(Path(url).glob("*.whl")):
            lines.append('format = "flat"')
    return "\n".join(lines) + "\n"


def _install_by_pip(
    requirements: Requirements, work: Path, folder: Path, target: Path, python: str, arch: Arch
) -> None:
    """Install by pip, which follows the markers of this Python: what the function's needs besides is added by name."""
    lines = [_built_by_pip(line, work, folder, python, arch) for line in applicable(requirements.lines, python, arch)]
    index = _only_index(lines)
    extra: list[str] = []
    more: list[str] = []
    for _ in range(_ROUNDS):
        shutil.rmtree(target, ignore_errors=True)
        text = work / "requirements.txt"
        are_hashed = not extra and all(line.hashes for line in lines if not line.text.startswith("-"))
        rendered = [line.render(with_hashes=are_hashed) for line in lines]
        text.write_text("".join(f"{line}\n" for line in [*index, *rendered, *extra]), "utf-8")
        command = [*_pip_command(python, arch), "--target", str(target), "-r", str(text)]
        try:
            _run(command, folder, read_environ(), python, arch)
        except Missing as error:
            running = f"{sys.version_info.major}.{sys.version_info.minor}"
            if python == running:
                raise
            why = f"{error.why}; where only Python {running} needs it, pip takes it too, as it follows its own markers"
            raise Missing(
                error.what, why, "pip install 'carboy[build]', or build with the function's Python"
            ) from error
        more = unmet(target, lines, python, arch)
        if not more:
            return
        extra += more
    raise CarboyError("the dependencies could not be installed", f"pip left out {more}", "pip install 'carboy[build]'")


def _only_index(lines: Sequence[Line]) -> list[str]:
    """Return the option by which pip takes all packages from the index that they name."""
    wanted = [line for line in lines if line.name]
    indexes = {line.index for line in wanted if not line.path}
    if indexes <= {None}:
        return []
    if len(indexes) > 1:
        names = ", ".join(f"`{line.name}`" for line in wanted if line.index)
        raise CarboyError(
            f"{names} cannot be installed",
            "pip takes no package from an index of its own",
            "pip install 'carboy[build]'",
        )
    return [f"--index-url {index}" for index in indexes]


def _built_by_pip(line: Line, work: Path, folder: Path, python: str, arch: Arch) -> Line:
    if not line.is_source:
        return line
    built = work / line.name
    requirement, _, marker = line.text.partition(" ;")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--wheel-dir", str(built), requirement], folder, read_environ(), python, arch)
    wheel = next(built.glob("*.whl"))
    return replace(
        line, text=f"{requirement.partition(' @ ')[0]} @ {wheel.as_uri()}" + (f" ;{marker}" if marker else "")
    )


def _pip_command(python: str, arch: Arch) -> list[str]:
    newest = 34 if python in _NEW_SYSTEM else 26
    machine = _MACHINES[arch]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)] + [f"manylinux2014_{machine}"]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHONS[python]),
        *(part for platform in platforms for part in ("--platform", platform)),
    ]


def _run(command: Sequence[str], folder: Path, environ: dict[str, str], python: str, arch: Arch) -> None:
    """Run an installer.

    Raises:
        Missing: it says that a package has no wheel.
        CarboyError: it failed otherwise.
    """
    ran = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        return
    said = " ".join(ran.stderr.split())
    named = sorted({name for pattern in _NO_WHEEL for name in pattern.findall(said)})
    if named:
        raise Missing(
            f"`{'`, `'.join(named)}` cannot be installed",
            f"there is no wheel for Python {python} on {arch} (Amazon Linux)",
            "choose a version that has one or another package, or build an image instead (--image)",
        )
    raise CarboyError(
        "the dependencies could not be installed",
        ran.stderr.strip()[-1500:] or f"`{command[0]}` ended with {ran.returncode}",
        "nothing was written",
    )


def _is_compiled(target: Path, name: str) -> bool:
    """Report whether an installed package came from a wheel for one platform."""
    for wheel in target.glob("*.dist-info/WHEEL"):
        if canonical(wheel.parent.name.partition("-")[0]) == name:
            tags = [line for line in wheel.read_text("utf-8", "replace").splitlines() if line.startswith("Tag:")]
            return not any(tag.endswith("-none-any") for tag in tags)
    return False
