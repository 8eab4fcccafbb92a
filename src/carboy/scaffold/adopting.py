"""`carboy new . --into`: add to an existing Flask project what it lacks; none of its files is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carboy.config import Sources, read_sources
from carboy.config.files import read_dotenv
from carboy.errors import UsageError
from carboy.scaffold.choices import Choices
from carboy.scaffold.dependencies import Listing, find_listing, render_requirement
from carboy.scaffold.dotenv import render_dotenv
from carboy.scaffold.finding import Found, find_applications, has_parts, read_code
from carboy.scaffold.names import plain_name
from carboy.scaffold.pins import find_conflicts
from carboy.scaffold.rendering import render_folder
from carboy.scaffold.writing import write_files

_PARTS = ("request_ids", "problems", "limits", "health")
_DB_PARTS = ("settings", "request_ids", "problems", "limits", "keys", "db", "jobs", "health", "metrics")
_ELSEWHERE = {
    "archive": "serve it beside your application: carboy new archiving --with archive",
    "sms": "serve it beside your application: carboy new texting --with sms",
    "console": "declare `pages` in a module of `MODULES`, and name the part `console` in `init_app`",
    "openapi": "write a document, and after `init_app` call `carboy.web.add_api(app, document, operations)`",
}


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was done to a project, and what its owner does.

    Attributes:
        app: the application, as `--app` takes it.
        written: the files that were written.
        kept: the files that were there and were left alone, each with the reason.
        notes: what else there is to know.
        pastes: lines for the owner to add, by where they belong.
    """

    app: str
    written: tuple[str, ...]
    kept: dict[str, str]
    notes: tuple[str, ...]
    pastes: dict[str, tuple[str, ...]]


def adopt(folder: Path, choices: Choices) -> Adoption:
    """Add to a project what it lacks: settings, a gunicorn configuration, a container file, with `lambda` a handler.

    Doing it again changes nothing.

    Raises:
        UsageError: there is no such folder, no Flask application in it, or a choice that is no part of another's.
    """
    for choice, hint in _ELSEWHERE.items():
        if choice in choices:
            raise UsageError(f"`{choice}` cannot be added to an existing project", "it is not a part of it", hint)
    if not folder.is_dir():
        raise UsageError(f"`{folder}` cannot be adopted", "there is no such folder", "start with `carboy new NAME`")
    code = read_code(folder)
    found = find_applications(code)
    flaskenv = folder / ".flaskenv"
    chosen = _choose(read_sources(folder=folder), read_dotenv(flaskenv) if flaskenv.is_file() else {}, found)
    if chosen is None:
        raise UsageError(
            f"`{folder}` cannot be adopted",
            "no Flask application was found in its code",
            "name it in .flaskenv (FLASK_APP=module:factory), or start with `carboy new NAME`",
        )
    listing, has_container = find_listing(folder), (folder / "Dockerfile").exists()
    files = _files(folder, chosen, choices, listing)
    kept = {path: _why_kept(folder / path, text) for path, text in files.items() if (folder / path).exists()}
    missing = {path: text for path, text in files.items() if path not in kept}
    write_files(folder, missing)
    others = [one.name for one in found if one.module != chosen.module]
    notes = [f"the application is {chosen.name}"]
    if others and len(found) > 1:
        notes.append(f"also found: {', '.join(others)}; `app` in carboy.toml says which one is served")
    for name, pins in find_conflicts(folder, _extras(choices)).items():
        notes.append(f"these versions in {name} cannot be installed with Carboy: {'; '.join(pins)}")
    if listing.note and not has_container:
        notes.append(listing.note)
    has_them = any(has_parts(tree) for tree in code.values())
    if has_them and "db" in choices:
        notes.append(f"Carboy's parts are there already; with the database they are: {_listed(choices)}")
    return Adoption(
        app=chosen.name,
        written=tuple(sorted(missing)),
        kept=dict(sorted(kept.items())),
        notes=tuple(notes),
        pastes={**({} if has_them else _two_lines(chosen, choices)), **_dependency(folder, choices, listing)},
    )


def _choose(sources: Sources, flaskenv: Mapping[str, str], found: list[Found]) -> Found | None:
    """Return the application that the project itself names, else the first that was found."""
    named = next(
        (given["FLASK_APP"] for given in (sources.environ, sources.dotenv, flaskenv) if "FLASK_APP" in given), ""
    )
    module, _, attribute = str(named or sources.toml.get("app", "")).removesuffix("()").partition(":")
    module = module.removesuffix(".py").replace("/", ".")
    same = [one for one in found if one.module == module and attribute in {"", one.attribute}]
    if same or not attribute:
        return next(iter([*same, *found]), None)
    is_factory = attribute.startswith(("create", "make"))
    return Found(f"{module.replace('.', '/')}.py", module, attribute, "app", is_factory)


def _files(folder: Path, chosen: Found, choices: Choices, listing: Listing) -> dict[str, str]:
    name = plain_name(folder.resolve().name)
    facts: dict[str, Any] = {
        "app": chosen.name,
        "module": chosen.module,
        "attribute": chosen.attribute,
        "is_factory": chosen.is_factory,
        "install": listing.install,
    }
    wanted = ["carboy.toml", "gunicorn.conf.py"]
    wanted += ["Dockerfile"] if listing.install else []
    wanted += ["handler.py"] if "lambda" in choices else []
    files = {
        ".env.example": render_dotenv(()),
        **render_folder("base", name, choices, [".dockerignore"]),
        **render_folder("into", name, choices, wanted, **facts),
    }
    if "lambda" in choices:
        plain = Choices(choices.chosen - {"lambda"})  # queue and schedule handlers are for new services
        files |= render_folder("base", name, plain, ["template.yaml"])
    return files


def _why_kept(path: Path, text: str) -> str:
    try:
        is_same = path.read_text("utf-8") == text
    except (OSError, UnicodeDecodeError):
        is_same = False
    return "it is there already, and the same" if is_same else "it is yours"


def _two_lines(chosen: Found, choices: Choices) -> dict[str, tuple[str, ...]]:
    where = "at the end, before it returns the application" if chosen.is_factory else "after your own middleware"
    call = f"carboy.init_app({chosen.variable}, parts=[{_listed(choices)}])"
    return {f"{chosen.path} ({chosen.attribute}: {where})": ("import carboy", call)}


def _listed(choices: Choices) -> str:
    return ", ".join(f'"{part}"' for part in (_DB_PARTS if "db" in choices else _PARTS))


def _extras(choices: Choices) -> tuple[str, ...]:
    return ("db", "serve") if "db" in choices else ("serve",)


def _dependency(folder: Path, choices: Choices, listing: Listing) -> dict[str, tuple[str, ...]]:
    """Return the line that names Carboy, for the file of dependencies, unless it names it already."""
    line = render_requirement(listing, _extras(choices), folder)
    if not listing.file:
        return {"your dependencies": (line,)}
    has_it = "carboy" in (folder / listing.file).read_text("utf-8", "replace")
    return {} if has_it else {f"{listing.file} (your dependencies)": (line,)}
