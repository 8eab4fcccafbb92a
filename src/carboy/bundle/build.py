"""Build the zip: the dependencies, from the cache or installed, then the project's own code."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from carboy.bundle.bytecode import find_python
from carboy.bundle.compiled_documents import prepared
from carboy.bundle.dependencies import cached_dependencies, compiled
from carboy.bundle.git import commit_of
from carboy.bundle.options import BuildOptions, BuildReport, Chosen, Entry, target_of
from carboy.bundle.own_files import choose_own_files
from carboy.bundle.requirements import load_requirements
from carboy.bundle.running_carboy import with_running_carboy
from carboy.bundle.wheels import find_uv
from carboy.bundle.zip_file import append_files
from carboy.errors import CarboyError

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
        CarboyError: a file cannot be read or written, or an installation failed.
    """
    try:
        return _build(options, on_step)
    except OSError as error:
        where = f"`{error.filename}`: " if error.filename else ""
        raise CarboyError(
            "the zip could not be built", f"{where}{error.strerror}", "look at its mode and owner"
        ) from error


def _build(options: BuildOptions, on_step: Callable[[str], None]) -> BuildReport:
    on_step(STEPS[0])
    uv = find_uv()
    requirements = with_running_carboy(load_requirements(options, uv), options.cache_dir)
    origin = requirements.origin
    own, left_out = ([], []) if options.is_layer else choose_own_files(options)
    code = "\n".join(
        file.read_text("utf-8", "replace") for file, _ in own if isinstance(file, Path) and file.suffix == ".py"
    )
    notes = [f"dependencies from {origin.name}" if origin else "no dependencies: no file names any", *left_out]

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


def _with_build_info(own: Chosen, work: Path, options: BuildOptions, notes: list[str]) -> Chosen:
    """Return the files with the commit added to `config.json`; the project's own entries stay."""
    commit, made_at, is_changed = commit_of(options.service_dir)
    if is_changed:
        notes.append("files have changed since the commit that the build information names")
    present = next((file for file, entry in own if entry.path == _BUILD_INFO), None)
    content = _read_object(present) if isinstance(present, Path) else {}
    written = work / _BUILD_INFO
    written.write_text(json.dumps({**content, "VERSION_HASH": commit, "BUILD_TIME": made_at}, indent=2) + "\n", "utf-8")
    entry = Entry(_BUILD_INFO, written.stat().st_size, "--inject-build-info", _YOURS)
    return [pair for pair in own if pair[1].path != _BUILD_INFO] + [(written, entry)]


def _read_object(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CarboyError(
            "the build information cannot be added", f"`{path}` is not JSON: {error}", "correct it"
        ) from error
    if not isinstance(content, dict):
        raise CarboyError("the build information cannot be added", f"`{path}` is not a JSON object", "make it one")
    return content


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
