"""Choose the project's own files: what runs goes into the zip, and what stays out is named.

Secrets, and links that leave the project, never go in unnoticed.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from carboy.bundle.options import BuildOptions, Chosen, Entry, source_of, target_of
from carboy.errors import CarboyError, UsageError

_CACHES = {
    *("__pycache__", ".git", ".hg", ".svn", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox", ".venv"),
    *(".hypothesis", ".eggs", ".aws-sam", ".serverless", "node_modules"),
}
_CACHE_NAMES = {".DS_Store", ".coverage"}
_DOUBTFUL = {
    *("build", "dist", "docs", "examples", "scripts", "test", "tests"),
    *("conftest.py", "fabfile.py", "gunicorn.conf.py", "noxfile.py", "setup.py", "tasks.py", "test.py"),
}
"""Names at a project's root that mostly stand for tools: they go in when the code imports them."""
_DATA = {"carboy.toml", "instance.toml", "migrations", "openapi.yaml", "openapi.yml", "static", "templates"}
_PROJECT_FILES = re.compile(
    r"(?i)^(\..*|readme.*|licen[cs]e.*|changelog.*|contributing.*|notice.*|authors.*|makefile|dockerfile.*|compose.*|"
    r"docker-compose.*|procfile|template\.ya?ml|samconfig.*|pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini|mypy\.ini|"
    r"requirements.*|constraints.*|pipfile.*|.*\.lock|manifest\.in|mkdocs\.yml|.*\.egg-info|setup\.py|conftest\.py|noxfile\.py|"
    r"gunicorn\.conf\.py)$"
)
"""What every project has beside its code: not named among what is left out."""
_SECRET_NAMES = re.compile(
    r"(?i)^(\.env(\.(?!example$|sample$|template$|dist$).*)?|.*\.(key|p12|pfx|jks|keystore|kdbx|ppk|tfstate|tfstate\.backup)|id_(rsa|dsa|ecdsa|ed25519)|"
    r"local-key|\.netrc|\.pypirc|\.npmrc|\.pgpass|\.my\.cnf|\.htpasswd|\.git-credentials|credentials)$"
)
_SECRET_FOLDERS = {".aws", ".ssh", ".gnupg", ".kube"}
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_PEM_SUFFIXES = {".pem", ".crt", ".cer", ".txt", ".json", ""}
_MAX_KEY_BYTES = 65_536
_IMPORT = re.compile(r"^[ \t>.]*(?:from[ \t]+([.\w]+)[ \t]+import\b([^#\n]*)|import[ \t]+([^#\n]+))", re.MULTILINE)
_DOTTED = re.compile(r"""["']([A-Za-z_]\w*(?:\.\w+)+|[A-Za-z_]\w*(?=:))""")
_IMPORT_MODULE = re.compile(r"""import_module\(\s*["'](\w+)""")
_QUOTED = re.compile(r"""["']([A-Za-z_][\w.]*)["']""")


@dataclass(slots=True)
class _Selection:
    """What goes in, and what stays out under each heading."""

    options: BuildOptions
    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    tests: dict[str, list[tuple[str, Path]]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)


def choose_own_files(options: BuildOptions) -> tuple[Chosen, list[str]]:
    """Return the project's own files for the zip, and notes that name what was left out.

    Raises:
        UsageError: there is nothing to take.
        CarboyError: a link leads out of the project, or nowhere.
    """
    selection = _Selection(options)
    source = source_of(options)
    if source is None:
        _take_root(selection)
    elif source.is_file() or (source / "__init__.py").is_file():
        _take(selection, source, source.name)
    else:
        _take(selection, source, "")
    _take_imported_tests(selection)
    own: Chosen = [
        (path, Entry(name, path.stat().st_size, "source", "your code"))
        for name, path in sorted(selection.files.items())
    ]
    return own, list(_notes(selection))


def _take_root(selection: _Selection) -> None:
    """Take a project without `src/`: its packages, modules and known data, and what they import of the rest."""
    root = selection.options.service_dir
    doubtful: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        name = path.name
        if _is_cache(path) or path.resolve() == target_of(selection.options).resolve():
            continue
        if _is_included(selection.options, PurePosixPath(name)) or name in _DATA:
            _take(selection, path, name)
        elif _is_secret(path) or name == "instance":
            _take(selection, path, name)  # which names it
        elif name not in _DOUBTFUL and (path.suffix == ".py" or _has_modules(path)):
            _take(selection, path, name)
        else:
            doubtful[name] = path
    while imported := {name for name in doubtful if name.removesuffix(".py") in _imported(selection)}:
        for name in sorted(imported):
            _take(selection, doubtful.pop(name), name)
    if not selection.files:
        raise UsageError(
            "the service cannot be built",
            f"`{root}` has neither `src/` nor a package nor a module",
            "name its source with --source",
        )
    selection.left_out += [
        f"{name}/" if path.is_dir() else name for name, path in doubtful.items() if not _PROJECT_FILES.match(name)
    ]


def _take(selection: _Selection, root: Path, name: str) -> None:
    """Add a file, or the files below a folder, that may go in."""
    options, target = selection.options, target_of(selection.options).resolve()
    for path in _walk(root, name, selection) if root.is_dir() else [root]:
        inside = PurePosixPath(name, *(() if path == root else path.relative_to(root).parts))
        if path.is_dir() and not path.is_symlink():  # a folder that is not entered
            selection.secrets.append(f"{inside}/")
            continue
        is_asked_for = _is_included(options, inside)
        if any(inside.match(pattern) for pattern in options.exclude) or path.resolve() == target:
            continue
        if path.is_symlink():
            _check_link(path, inside, selection)
        if not stat.S_ISREG(path.stat().st_mode):
            selection.odd.append(str(inside))
        elif not is_asked_for and (_is_secret(path) or _is_secret(path.resolve())):
            selection.secrets.append(str(inside))
        elif not is_asked_for and "tests" in inside.parts[1:-1]:
            at = inside.parts.index("tests", 1)
            selection.tests.setdefault("/".join(inside.parts[: at + 1]), []).append((str(inside), path))
        elif not is_asked_for and inside.parts[0] == "tests" and len(inside.parts) > 1 and root.name != "tests":
            selection.tests.setdefault("tests", []).append((str(inside), path))
        else:
            selection.files[str(inside)] = path


def _walk(root: Path, name: str, selection: _Selection) -> Iterator[Path]:
    """Yield the files below a folder, links followed, and the secret folders, which are not entered."""
    seen: set[str] = set()
    options = selection.options
    made_in = target_of(options).resolve().parent
    excluded = {made_in} if made_in.name == "dist" and not _has_modules(made_in) else set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here, real = Path(folder), os.path.realpath(folder)
        if real in seen or Path(real) in excluded:
            folders.clear()
            continue
        seen.add(real)
        inside = PurePosixPath(name, here.relative_to(root))
        if here.is_symlink() and here != root:
            _check_link(here, inside, selection)
        is_secret = here.name in _SECRET_FOLDERS or (here.name == "instance" and not _has_modules(here))
        if is_secret and not _is_included(options, inside):
            folders.clear()
            yield here
            continue
        folders[:] = sorted(each for each in folders if not _is_cache(here / each))
        yield from (here / each for each in sorted(files) if not _is_cache(here / each))


def _check_link(path: Path, inside: PurePosixPath, selection: _Selection) -> None:
    """Refuse a link that leads out of the project or nowhere; one to a Python package is followed, and named."""
    options = selection.options
    source = source_of(options)
    roots = [options.service_dir.resolve(), *([source.resolve()] if source else [])]
    real = path.resolve()
    if not real.exists():
        raise CarboyError(
            "the service cannot be built", f"the link `{inside}` leads nowhere", "remove it, or --exclude it"
        )
    if any(real.is_relative_to(root) for root in roots):
        return
    if (real / "__init__.py").is_file():
        selection.linked.append(f"{inside}/")
    else:
        raise CarboyError(
            "the service cannot be built",
            f"the link `{inside}` leads out of the project, to `{real}`",
            "put a copy in its place, make it a dependency, or --exclude it",
        )


def _is_cache(path: Path) -> bool:
    """Report whether a path is a tool's cache or bytecode beside its source."""
    if path.name in _CACHES or path.name in _CACHE_NAMES or path.name.endswith(".egg-info"):
        return True
    if path.suffix in {".pyc", ".pyo"}:
        return path.with_suffix(".py").exists()
    return (path / "pyvenv.cfg").is_file()


def _is_secret(path: Path) -> bool:
    """Report whether a file holds credentials, by its name or as a private key."""
    if _SECRET_NAMES.match(path.name):
        return not path.is_dir()
    if path.suffix.lower() not in _PEM_SUFFIXES or not path.is_file() or path.stat().st_size > _MAX_KEY_BYTES:
        return False
    return _PRIVATE_KEY.search(path.read_bytes()) is not None


def _is_included(options: BuildOptions, inside: PurePosixPath) -> bool:
    return any(
        inside.match(pattern) or f"{inside}/".startswith(pattern.rstrip("/") + "/") for pattern in options.include
    )


def _has_modules(path: Path) -> bool:
    """Report whether a folder holds modules, in it or below it: a package, with `__init__.py` or without."""
    if not path.is_dir():
        return False
    return any(
        name.endswith((".py", ".pyc", ".so")) for _, _, files in os.walk(path) for name in files if name != "setup.py"
    )


def _code(files: dict[str, Path]) -> str:
    return "\n".join(path.read_text("utf-8", "replace") for name, path in files.items() if name.endswith(".py"))


def _imported(selection: _Selection) -> set[str]:
    """Return the first names of the modules that the chosen code imports, or names to have them imported."""
    code = _code(selection.files)
    found = {name.partition(".")[0] for one in _IMPORT.finditer(code) for name in _modules(one)}
    found |= {name.partition(".")[0] for name in _DOTTED.findall(code)} | set(_IMPORT_MODULE.findall(code))
    settings = selection.files.get("carboy.toml")
    if settings is not None:
        found |= {name.partition(".")[0] for name in _QUOTED.findall(settings.read_text("utf-8", "replace"))}
    return found


def _modules(found: re.Match[str]) -> list[str]:
    if found[1]:
        return [found[1]]
    return [part.split()[0] for part in found[3].split(",") if part.split()]


def _take_imported_tests(selection: _Selection) -> None:
    """Take the folders `tests` that the chosen code imports, or that hold no code; name the others."""
    while True:
        code = _code(selection.files)
        statements = " ".join(found[0] for found in _IMPORT.finditer(code)) + " ".join(_DOTTED.findall(code))
        is_named = re.search(r"\btests\b", statements) is not None
        taken = [
            folder
            for folder, files in selection.tests.items()
            if is_named or not any(name.endswith(".py") for name, _ in files)
        ]
        for folder in taken:
            selection.files.update(selection.tests.pop(folder))
        if not taken:
            break
    selection.left_out += [f"{folder}/" for folder in selection.tests]


def _notes(selection: _Selection) -> Iterator[str]:
    for what, names, hint in (
        ("left out, as no code imports them", selection.left_out, "--include takes them in"),
        (
            "left out, as they hold secrets",
            selection.secrets,
            "give them to the function as settings; --include takes them in",
        ),
        ("left out, as they are not plain files", selection.odd, "pipes, sockets and devices"),
        ("packages from outside of the project", selection.linked, "their links were followed"),
    ):
        if names:
            yield f"{what}: {', '.join(f'`{name}`' for name in sorted(set(names)))} ({hint})"
