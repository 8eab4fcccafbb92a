"""Build the zip: dependencies from the cache or anew, then the project's own code."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from carboy.bundle.bytecode import find_python
from carboy.bundle.compiled_documents import prepared
from carboy.bundle.dependencies import cached_dependencies, compiled
from carboy.bundle.git import commit_of
from carboy.bundle.options import BuildOptions, BuildReport, Chosen, Entry, source_roots, target_of
from carboy.bundle.requirements import read_requirements
from carboy.bundle.selection import is_junk
from carboy.bundle.wheels import find_uv
from carboy.bundle.zip_file import append_files
from carboy.errors import CarboyError

__all__ = ["STEPS", "build"]

STEPS = ("read the project", "install the dependencies", "add the code", "weigh it")
_BUILD_INFO = "config.json"
_YOURS = "your code"


def build(options: BuildOptions, on_step: Callable[[str], None] = lambda step: None) -> BuildReport:
    """Build a zip for Lambda and return what is in it; the target is replaced only when all went well.

    Args:
        options: what to build.
        on_step: called with each of `STEPS` before it begins.

    Raises:
        UsageError: a path that was given is not there.
        Missing: a package has no wheel for the target; it is named.
        Unreachable: system packages are asked for and there is no container engine.
        CarboyError: a lock cannot be read, or an installation failed.
    """
    on_step(STEPS[0])
    uv = find_uv()
    requirements, origin = read_requirements(options, uv)
    own = [] if options.is_layer else _own_files(options)
    code = "\n".join(
        file.read_text("utf-8", "replace") for file, _ in own if isinstance(file, Path) and file.suffix == ".py"
    )
    notes = [f"dependencies from {origin.name}" if origin else "no dependencies: no file names any"]

    on_step(STEPS[1])
    dependencies, entries, is_cached = cached_dependencies(options, requirements, code, uv)

    on_step(STEPS[2])
    target = target_of(options)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".carboy-build-", dir=target.parent) as folder:
        work = Path(folder)
        if options.has_build_info:
            own = _with_build_info(own, work, options, notes)
        own += [*compiled(own, options), *prepared(own)]
        own = _without_clashes(own, entries)
        made = work / "made.zip"
        if dependencies is not None:
            shutil.copyfile(dependencies, made)
        append_files(made, [(entry.path, file) for file, entry in own])
        os.replace(made, target)

    on_step(STEPS[3])
    entries = entries + sorted((entry for _, entry in own), key=lambda entry: entry.path)
    if not entries:
        raise CarboyError("nothing was built", "there is neither code nor a dependency", "see --source, --requirements")
    if find_python(options.python) is None:
        notes.append(f"no Python {options.python} was found here: the zip has no bytecode, and starts more slowly")
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    unpacked = sum(entry.size_bytes for entry in entries)
    return BuildReport(target, digest, target.stat().st_size, unpacked, entries, is_cached, notes)


def _own_files(options: BuildOptions) -> Chosen:
    target = target_of(options).resolve()
    found: dict[str, tuple[Path | bytes, Entry]] = {}
    for root, name in source_roots(options):
        files = [root] if root.is_file() else sorted(_files_below(root))
        for file in files:
            inside = PurePosixPath(name, *(() if root.is_file() else file.relative_to(root).parts))
            if is_junk(inside) or "tests" in inside.parts[:-1] or file.resolve() == target:
                continue
            if any(inside.match(pattern) for pattern in options.exclude):
                continue
            path = inside.as_posix()
            found[path] = (file, Entry(path, file.stat().st_size, "source", _YOURS))
    return list(found.values())


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the files of a folder; links are followed, each real folder once."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder, name) for name in files)


def _with_build_info(own: Chosen, work: Path, options: BuildOptions, notes: list[str]) -> Chosen:
    """Return the files with a `config.json` that tells the commit; a `config.json` of the project's keeps the rest."""
    commit, made_at, is_changed = commit_of(options.service_dir)
    if is_changed:
        notes.append("files have changed since the commit that the build information names")
    present = next((file for file, entry in own if entry.path == _BUILD_INFO), None)
    content = json.loads(present.read_text("utf-8")) if isinstance(present, Path) else {}
    written = work / _BUILD_INFO
    written.write_text(json.dumps({**content, "VERSION_HASH": commit, "BUILD_TIME": made_at}, indent=2) + "\n", "utf-8")
    entry = Entry(_BUILD_INFO, written.stat().st_size, "--inject-build-info", _YOURS)
    return [pair for pair in own if pair[1].path != _BUILD_INFO] + [(written, entry)]


def _without_clashes(own: Chosen, dependencies: list[Entry]) -> Chosen:
    taken = {entry.path: entry.package for entry in dependencies}
    clash = next((entry.path for _, entry in own if entry.path in taken), None)
    if clash is not None:
        raise CarboyError(
            f"`{clash}` is in the zip twice",
            f"it is your code's and also of `{taken[clash]}`",
            "rename yours, or leave one out with --exclude",
        )
    return own
