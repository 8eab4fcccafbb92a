"""Cache the zip of installed dependencies by all that decides what is in it.

The cached zip is trimmed, compiled and compressed already: a build with a warm cache copies it and adds the source.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from carboy.bundle.aws_data import slim
from carboy.bundle.bytecode import compile_all, find_python, pyc_name
from carboy.bundle.compiled_documents import prepared
from carboy.bundle.container import find_engine, install_in_container
from carboy.bundle.lines import Requirements
from carboy.bundle.options import BuildOptions, Chosen, Entry
from carboy.bundle.pip_config import load_pip_config
from carboy.bundle.selection import ALWAYS_SERVICES, is_junk, services_called, services_named, why_in
from carboy.bundle.uv_settings import uv_settings
from carboy.bundle.wheels import install_wheels, local_paths
from carboy.bundle.zip_file import append_files
from carboy.config.environ import read_environ

_FORMAT = "5"  # of the cached files; another number has them written again
_DECIDING = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
    "UV_EXCLUDE_NEWER",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_CONFIG_FILE",
)
"""Beginnings of the variables by which uv chooses otherwise."""
_READS_TESTS = re.compile(r"""["'./]tests\b""")


def cached_dependencies(
    options: BuildOptions, requirements: Requirements, source_code: str, uv: str | None
) -> tuple[Path | None, list[Entry], bool]:
    """Return the zip of a project's dependencies, what is in it, and whether it was there already.

    Args:
        options: of the build.
        requirements: of the project; without any, None is returned.
        source_code: the project's own, for the AWS services that it names.
        uv: the program, or None.

    Raises:
        Missing: a package has no wheel for the target.
        Unreachable: system packages are asked for and there is no container engine.
        CarboyError: the installation failed.
    """
    if not requirements.render():
        return None, [], False
    lock = [
        *(_FORMAT, options.python, options.arch, sorted(options.system_packages), uv is not None),
        *([line.render(), line.index, _fingerprint(line.path)] for line in requirements.lines),
        *_index_facts(requirements),
    ]
    installed = options.cache_dir / _digest(lock)
    is_installed = installed.is_dir() and not options.is_rebuild
    if not is_installed:
        _install(options, requirements, installed, uv)
    services = _services(options, installed, source_code) if options.wants_boto3 else {}
    facts = [*lock, options.is_layer, options.wants_boto3, services, sorted(options.exclude)]
    zipped = options.cache_dir / f"{_digest([*facts, find_python(options.python) is not None])}.zip"
    listing = zipped.with_suffix(".json")
    if is_installed and zipped.is_file() and listing.is_file():
        return zipped, [Entry(**each) for each in json.loads(listing.read_text("utf-8"))], True
    with tempfile.TemporaryDirectory(prefix="packing-", dir=options.cache_dir) as folder:
        made = Path(folder, zipped.name)
        entries = _pack(options, installed, made, services)
        made.with_suffix(".json").write_text(json.dumps([asdict(entry) for entry in entries]), "utf-8")
        os.replace(made, zipped)
        os.replace(made.with_suffix(".json"), listing)  # last: only both together are found
    return zipped, entries, False


def _digest(facts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _index_facts(requirements: Requirements) -> list[object]:
    """Return the configuration of indexes, with the state of those that are local."""
    environ = read_environ()
    config = load_pip_config(environ)
    uv = {name: value for name, value in environ.items() if name.startswith(_DECIDING)}
    folder = requirements.origin.parent if requirements.origin else Path()
    urls = (config.index_url, *config.extra_index_urls, *config.find_links, *config.constraints, *uv.values())
    paths = local_paths([*urls, *(line.index for line in requirements.lines if line.index)])
    return [asdict(config), uv, [_fingerprint(path) for path in paths], repr(uv_settings(folder.resolve()))]


def _fingerprint(path: Path | None) -> object:
    """Return a fingerprint of a file or folder: of its content, or of the listing of an index or wheelhouse."""
    if path is None or not path.exists():
        return None
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        return sorted([each.name, each.stat().st_size, each.stat().st_mtime_ns] for each in path.iterdir())
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not is_junk(PurePosixPath(name)))
        for name in sorted(files):
            file = Path(folder, name)
            if file.is_file():
                digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _install(options: BuildOptions, requirements: Requirements, installed: Path, uv: str | None) -> None:
    """Install the requirements into a folder of the cache, whole or not at all."""
    options.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="installing-", dir=options.cache_dir) as folder:
        target = Path(folder, "installed")
        if options.system_packages:
            _install_in_container(options, requirements, Path(folder), target)
        else:
            install_wheels(requirements, target, options.python, options.arch, uv)
        target.mkdir(exist_ok=True)
        if installed.is_dir():
            os.replace(installed, Path(folder, "before"))
        os.replace(target, installed)


def _install_in_container(options: BuildOptions, requirements: Requirements, work: Path, target: Path) -> None:
    engine = find_engine()
    text = work / "requirements.txt"
    lines = [*load_pip_config(read_environ()).option_lines(), requirements.render_for_elsewhere()]
    text.write_text("\n".join(lines), "utf-8")
    install_in_container(engine, text, target, options.python, options.arch, options.system_packages)


def _pack(options: BuildOptions, installed: Path, made: Path, services: Mapping[str, str] | None) -> list[Entry]:
    """Write the zip and return what is in it."""
    owners = _owners(installed)
    paths = sorted(
        PurePosixPath(path.relative_to(installed).as_posix()) for path in installed.rglob("*") if path.is_file()
    )
    code = _code_by_package(installed, paths, owners)
    testing = {package for package, text in code.items() if _READS_TESTS.search(text)}
    tests = _test_folders(paths)
    stubs = any("attach_stub" in text for text in code.values())

    prefix = "python/" if options.is_layer else ""
    chosen: Chosen = []
    for path in paths:
        package = owners.get(path.as_posix(), path.parts[0])
        why = why_in(
            path,
            package,
            wants_boto3=options.wants_boto3,
            services=services,
            keeps_tests=package in testing or not any(folder in tests for folder in path.parents),
            keeps_stubs=stubs,
        )
        file = installed / path
        if not why or any(path.match(pattern) for pattern in options.exclude) or _is_bytecode(file):
            continue
        if path.parts[0] == "bin" and file.read_bytes()[:2] == b"#!":
            continue  # a console script, with this machine's Python in its first line
        chosen.append((file, Entry(prefix + path.as_posix(), file.stat().st_size, why, package)))
    if services is not None:
        chosen = slim(chosen)
    chosen += [*compiled(chosen, options), *prepared(chosen)]
    append_files(made, [(entry.path, content) for content, entry in chosen])
    return sorted((entry for _, entry in chosen), key=lambda entry: entry.path)


def _test_folders(paths: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the folders `tests` below packages that hold Python code: others are data."""
    return {
        PurePosixPath(*path.parts[: at + 1])
        for path in paths
        if path.suffix == ".py"
        for at, part in enumerate(path.parts[:-1])
        if part == "tests" and at
    }


def _is_bytecode(file: Path) -> bool:
    """Report whether a file is bytecode beside its source; a module without source is kept."""
    return file.suffix in {".pyc", ".pyo"} and file.with_suffix(".py").exists()


def compiled(chosen: Chosen, options: BuildOptions) -> Chosen:
    """Return the bytecode of the chosen modules; nothing without an interpreter of the target."""
    python = find_python(options.python)
    if python is None:
        return []
    root = "/opt/" if options.is_layer else "/var/task/"
    modules = [(file, entry) for file, entry in chosen if entry.path.endswith(".py") and isinstance(file, Path)]
    made = compile_all([(file, root + entry.path) for file, entry in modules], python)
    return [
        (pyc, Entry(pyc_name(entry.path, options.python), len(pyc), f"bytecode of {entry.path}", entry.package))
        for pyc, (_, entry) in zip(made, modules, strict=True)
        if pyc
    ]


def _owners(installed: Path) -> dict[str, str]:
    """Return the distribution, with its version, of each installed file."""
    owners: dict[str, str] = {}
    for record in sorted(installed.glob("*.dist-info/RECORD")):
        name, _, version = record.parent.name.removesuffix(".dist-info").rpartition("-")
        for line in record.read_text("utf-8").splitlines():
            path = line.rsplit(",", 2)[0].strip('"')
            owners[path.removeprefix("../../")] = f"{name} {version}"
    return owners


def _code_by_package(installed: Path, paths: Sequence[PurePosixPath], owners: Mapping[str, str]) -> dict[str, str]:
    """Return the Python code of each distribution, its tests' left out."""
    parts: dict[str, list[str]] = {}
    for path in paths:
        if path.suffix == ".py" and "tests" not in path.parts:
            package = owners.get(path.as_posix(), path.parts[0])
            parts.setdefault(package, []).append((installed / path).read_text("utf-8", "replace"))
    return {package: "\n".join(texts) for package, texts in parts.items()}


def _services(options: BuildOptions, installed: Path, source_code: str) -> dict[str, str] | None:
    """Return the AWS services whose data is kept, each with its reason; None for all."""
    data = installed / "botocore" / "data"
    if options.keeps_all_services or not data.is_dir():
        return None
    known = {path.name for path in data.iterdir() if path.is_dir()}
    reasons = dict.fromkeys(sorted(ALWAYS_SERVICES), "botocore's credentials need it")
    owners = _owners(installed)
    paths = [PurePosixPath(path) for path in owners if not path.startswith(("boto3/", "botocore/", "s3transfer/"))]
    present = sorted(path for path in paths if (installed / path).is_file())
    for package, text in sorted(_code_by_package(installed, present, owners).items()):
        reasons |= dict.fromkeys(sorted(services_called(text, known)), f"named in {package}")
    reasons |= dict.fromkeys(sorted(services_named(source_code, known)), "named in your code")
    return reasons | dict.fromkeys(options.keep_services, "--keep-services")
