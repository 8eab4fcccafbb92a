"""`carboy new`."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import json_option, print_json

if TYPE_CHECKING:
    from carboy.scaffold import Adoption


@click.command("new")
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--with",
    "wanted",
    multiple=True,
    metavar="PARTS",
    help="The parts to include, separated by commas: db, archive, sms, openapi, lambda, console.",
)
@click.option("--into", is_flag=True, help="Add missing files to an existing project; no file is changed.")
@json_option
def command(name: Path, wanted: tuple[str, ...], into: bool, as_json: bool) -> None:
    """Create a new service, with tests and deployment files.

    NAME becomes a folder. In it `carboy serve`, `pytest`, `carboy db upgrade` and `carboy build .` work at once. No
    file is ever overwritten.

    Example:
      carboy new orders --with db,openapi
      carboy new . --into
    """
    from carboy.scaffold import adopt, make_service, parse_choices

    choices = parse_choices(wanted)
    if into:
        adoption = adopt(name, choices)
        print_json(_document(adoption)) if as_json else _show(adoption)
        return
    files = make_service(name, choices)
    if as_json:
        print_json({"folder": str(name), "written": files})
        return
    for path in files:
        click.echo(name / path)
    enter = "" if name.resolve() == Path.cwd() else f"  cd {name}\n"
    tests = "" if find_spec("pytest") else "  pip install -e '.[dev]'\n"
    click.echo(f"next:\n{enter}  carboy serve\n{tests}  pytest", err=True)


def _show(adoption: "Adoption") -> None:
    for path in adoption.written:
        click.echo(f"wrote  {path}")
    for path, why in adoption.kept.items():
        click.echo(f"kept   {path}: {why}")
    for note in adoption.notes:
        click.echo(note, err=True)
    for where, lines in adoption.pastes.items():
        click.echo(f"paste into {where}:", err=True)
        click.echo("".join(f"    {line}\n" for line in lines), nl=False, err=True)


def _document(adoption: "Adoption") -> dict[str, Any]:
    return {
        "app": adoption.app,
        "written": list(adoption.written),
        "kept": dict(adoption.kept),
        "notes": list(adoption.notes),
        "paste": {where: list(lines) for where, lines in adoption.pastes.items()},
    }
