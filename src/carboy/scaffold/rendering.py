"""Turn templates into the text of files: one folder of templates for every service, and one for each choice.

They are Jinja's, which Flask brings: `{{ name }}` is replaced, and `{% if db %}` decides what is in.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from carboy.scaffold.choices import CHOICES, Choices
from carboy.scaffold.dotenv import render_dotenv
from carboy.scaffold.requirement import find_origin

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).with_name("templates")
_SUFFIX = ".jinja"


def render_service(name: str, choices: Choices) -> dict[str, str]:
    """Return the files of a new service: path below its folder, and content."""
    folders = ("base", *(each for each in CHOICES if each in choices))
    files = {path: text for folder in folders for path, text in render_folder(folder, name, choices).items()}
    return {".env.example": render_dotenv(choices.modules), **files}


def render_folder(
    folder: str, name: str, choices: Choices, only: Iterable[str] | None = None, **facts: object
) -> dict[str, str]:
    """Return the files of one folder of templates.

    Args:
        folder: below `templates`.
        name: the service's.
        choices: what it is made with.
        only: the paths of the files that are wanted; all by default.
        facts: what else the templates may name.
    """
    origin = find_origin()
    known = {
        **{each: each in choices for each in CHOICES},
        "name": name,
        "requirement": origin.requirement,
        "carboy": origin,
        "modules": choices.modules,
        "extras": choices.extras,
        "needs_database": choices.needs_database,
        **facts,
    }
    root = _FOLDER / folder
    paths = {
        path.relative_to(root).as_posix().removesuffix(_SUFFIX): path for path in sorted(root.rglob(f"*{_SUFFIX}"))
    }
    wanted = paths if only is None else {each: paths[each] for each in only}
    return {
        target: _environment().from_string(path.read_text("utf-8")).render(known) for target, path in wanted.items()
    }


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, StrictUndefined

    return Environment(  # noqa: S701 (what comes out is no HTML)
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
