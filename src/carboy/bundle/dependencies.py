"""Turn requirements into a zip of installed dependencies, and keep it until the requirements change.

The cached zip is trimmed, compiled and compressed already: a build with a warm cache copies it and adds the source.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from carboy.bundle.archive import append_files
from carboy.bundle.bytecode import compile_all, find_python, pyc_name
from carboy.bundle.container import find_engine, install_in_container
from carboy.bundle.options import BuildOptions, Entry
from carboy.bundle.selection import ALWAYS_SERVICES, services_called, services_named, why_in
from carboy.bundle.wheels import install_wheels

__all__ = ["cached_dependencies", "compiled"]

_FORMAT = "1"  # of the cached files; another number makes them anew


def cached_dependencies(
    options: BuildOptions, requirements: str, source_code: str, uv: str | None
) -> tuple[Path | None, list[Entry], bool]:
    """Return the zip of a project's dependencies, what is in it, and whether it was there already.

    Args:
        options: of the build.
        requirements: in pip's format; None is returned when there are none.
        source_code: the project's own, for the AWS services that it names.
        uv: the program, or None.

    Raises:
        Missing: a package has no wheel for the target.
        Unreachable: system packages are asked for and there is no container engine.
        CarboyError: the installation failed.
    """
    if not requirements.strip():
        return None, [], False
    base = _digest(_facts(options, requirements))
    known_file = options.cache_dir / f"{base}.services.json"
    known = json.loads(known_file.read_text("utf-8")) if known_file.is_file() else []
    zipped, listing = _cached_files(options, base, source_code, known)
    if not options.is_rebuild and known_file.is_file() and zipped.is_file() and listing.is_file():
        return zipped, [Entry(**each) for each in json.loads(listing.read_text("utf-8"))], True
    options.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="carboy-build-", dir=options.cache_dir) as folder:
        work = Path(folder)
        installed = work / "installed"
        (work / "requirements.txt").write_text(requirements, "utf-8")
        if options.system_packages:
            install_in_container(
                find_engine(),
                work / "requirements.txt",
                installed,
                options.python,
                options.arch,
                options.system_packages,
            )
        else:
            install_wheels(work / "requirements.txt", installed, options.python, options.arch, uv)
        known = _known_services(installed)
        known_file.write_text(json.dumps(known), "utf-8")
        zipped, listing = _cached_files(options, base, source_code, known)
        entries = _pack(options, installed, work, source_code)
        (work / "listing.json").write_text(json.dumps([asdict(entry) for entry in entries]), "utf-8")
        os.replace(work / "dependencies.zip", zipped)
        os.replace(work / "listing.json", listing)  # last: only both together are found
    return zipped, entries, False


def _facts(options: BuildOptions, requirements: str) -> list[object]:
    return [
        *(_FORMAT, requirements, options.python, options.arch, options.is_layer, options.wants_boto3),
        *(options.keeps_all_services, sorted(options.keep_services), sorted(options.system_packages)),
        *(sorted(options.exclude), find_python(options.python) is not None),
    ]


def _cached_files(options: BuildOptions, base: str, source_code: str, known: Sequence[str]) -> tuple[Path, Path]:
    """Return where a zip and its listing are kept; of the source, only the AWS services that it names matter."""
    is_trimmed = options.wants_boto3 and not options.keeps_all_services
    named = sorted(services_named(source_code, known)) if is_trimmed else []
    key = _digest([base, named])
    return options.cache_dir / f"{key}.zip", options.cache_dir / f"{key}.json"


def _digest(facts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _known_services(installed: Path) -> list[str]:
    data = installed / "botocore" / "data"
    return sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []


def _pack(options: BuildOptions, installed: Path, work: Path, source_code: str) -> list[Entry]:
    """Write `dependencies.zip` and return what is in it."""
    owners = _owners(installed)
    paths = sorted(path.relative_to(installed) for path in installed.rglob("*") if path.is_file())
    code = _code_by_package(installed, paths, owners)
    services = _services(options, installed, source_code, code)
    testing = {package for package, text in code.items() if ".tests" in text}
    stubs = any("attach_stub" in text for text in code.values())

    prefix = "python/" if options.is_layer else ""
    chosen: list[tuple[Path, Entry]] = []
    for path in paths:
        pure = PurePosixPath(path.as_posix())
        package = owners.get(pure.as_posix(), pure.parts[0])
        if pure.parts[0] == "bin" and (installed / path).read_bytes()[:2] == b"#!":
            continue  # a console script, with this machine's Python in its first line
        if any(pure.match(pattern) for pattern in options.exclude):
            continue
        why = why_in(
            pure,
            package,
            wants_boto3=options.wants_boto3,
            services=services,
            keeps_tests=package in testing,
            keeps_stubs=stubs,
        )
        if why:
            size = (installed / path).stat().st_size
            chosen.append((installed / path, Entry(prefix + pure.as_posix(), size, why, package)))
    chosen += compiled(chosen, work / "bytecode", options)
    append_files(work / "dependencies.zip", [(entry.path, file) for file, entry in chosen])
    return sorted((entry for _, entry in chosen), key=lambda entry: entry.path)


def compiled(chosen: Sequence[tuple[Path, Entry]], folder: Path, options: BuildOptions) -> list[tuple[Path, Entry]]:
    """Return the bytecode of the chosen modules, made in a folder; nothing without an interpreter of the target."""
    python = find_python(options.python)
    if python is None:
        return []
    root = "/opt/" if options.is_layer else "/var/task/"
    work = {
        folder / pyc_name(entry.path, options.python): (file, entry)
        for file, entry in chosen
        if entry.path.endswith(".py")
    }
    made = compile_all([(file, target, root + entry.path) for target, (file, entry) in work.items()], python)
    return [
        (
            target,
            Entry(
                pyc_name(entry.path, options.python), target.stat().st_size, f"bytecode of {entry.path}", entry.package
            ),
        )
        for target, (_, entry) in work.items()
        if target in made
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


def _code_by_package(installed: Path, paths: Sequence[Path], owners: Mapping[str, str]) -> dict[str, str]:
    """Return the Python code of each distribution, its tests' left out."""
    parts: dict[str, list[str]] = {}
    for path in paths:
        if path.suffix == ".py" and "tests" not in path.parts:
            package = owners.get(path.as_posix(), path.parts[0])
            parts.setdefault(package, []).append((installed / path).read_text("utf-8", "replace"))
    return {package: "\n".join(texts) for package, texts in parts.items()}


def _services(
    options: BuildOptions, installed: Path, source_code: str, code: Mapping[str, str]
) -> dict[str, str] | None:
    """Return the AWS services whose data is kept, each with its reason; None for all."""
    known = set(_known_services(installed))
    if options.keeps_all_services or not known:
        return None
    reasons = dict.fromkeys(ALWAYS_SERVICES, "botocore's credentials need it")
    for package, text in code.items():
        if package.partition(" ")[0] not in {"boto3", "botocore", "s3transfer", "moto"}:
            reasons |= dict.fromkeys(services_called(text) & known, f"named in {package}")
    reasons |= dict.fromkeys(services_named(source_code, known), "named in your code")
    return reasons | dict.fromkeys(options.keep_services, "--keep-services")
