"""`carboy build`: a Lambda zip without Docker."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carboy.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from carboy.bundle import BuildOptions, BuildReport

    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType  # no generic before click 8.4

_PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
_FILE = click.Path(path_type=Path)
_SEVERAL = {"-e", "--exclude", "-d", "--dependencies"}


class _Version(_TextType):
    """A minor version of Python, with or without its dot."""

    name = "version"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        dotted = value if "." in value or not value.startswith("3") else f"3.{value[1:]}"
        return click.Choice(_PYTHONS).convert(dotted, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(_PYTHONS)}]"


class _BuildCommand(click.Command):
    """The command, whose `--exclude` and `--dependencies` take several values in one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _repeat_options(args))


def _repeat_options(args: Sequence[str]) -> list[str]:
    """Return arguments with an option before each of its values: `-e a b` becomes `-e a -e b`.

    A last value that is a folder is the service's, where none was named before.
    """
    repeated: list[str] = []
    option, count = "", 0
    for argument, following in zip_longest(args, args[1:], fillvalue="-"):
        is_value = not argument.startswith("-")
        if not is_value:
            option, count = (argument if argument in _SEVERAL else ""), 0
        elif option and count and not (following.startswith("-") and Path(argument).is_dir()):
            repeated.append(option)
        count += is_value
        repeated.append(argument)
    return repeated


@click.command("build", cls=_BuildCommand)
@click.argument("service_dir", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--python", "-py", type=_Version(), default="3.13", show_default=True, help="Python of the function's runtime."
)
@click.option(
    "--arch",
    type=click.Choice(["x86_64", "arm64"]),
    default="x86_64",
    show_default=True,
    help="The processor architecture.",
)
@click.option(
    "-3", "--python36", "is_3", is_flag=True, expose_value=False, help="Ignored: kept for Fleece.", hidden=True
)
@click.option(
    "-r", "--requirements", type=_FILE, help="What names the dependencies. [default: requirements.txt or a lock]"
)
@click.option("-p", "--pipfile", type=_FILE, help="A Pipfile whose lock names them, or its folder.")
@click.option("-s", "--source", type=_FILE, help="The code. [default: src/, else the packages and modules]")
@click.option("-t", "--target", type=_FILE, help="The zip, or its folder. [default: dist/lambda_function.zip]")
@click.option("-e", "--exclude", multiple=True, metavar="GLOB…", help="Leave these paths out; repeatable.")
@click.option("--include", multiple=True, metavar="GLOB", help="Include own paths that would be left out; repeatable.")
@click.option("--rebuild", "is_rebuild", is_flag=True, help="Install the dependencies again, whatever is cached.")
@click.option(
    "--inject-build-info", "has_build_info", is_flag=True, help="Add config.json with the commit and its time."
)
@click.option(
    "-d", "--dependencies", multiple=True, metavar="PACKAGE…", help="System packages; needs a container engine."
)
@click.option("--layer", "is_layer", is_flag=True, help="Build a layer: the dependencies alone.")
@click.option("--image", "is_image", is_flag=True, help="Print a Dockerfile instead of building a zip.")
@click.option("--boto3", "has_boto3", is_flag=True, help="Include boto3; the Lambda runtime has its own version.")
@click.option("--keep-services", multiple=True, metavar="NAMES", help="AWS services that boto3 keeps, by commas.")
@click.option("--keep-all", "keeps_all_services", is_flag=True, help="Let boto3 keep all services.")
@click.option("--list", "is_list", is_flag=True, help="Print each file and why it is in.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, is_image: bool, is_list: bool, **given: Any) -> None:
    """Build a zip for AWS Lambda: the same bytes every time, for the function's platform, without Docker.

    Dependencies come as wheels and are cached until the file that names them changes. Ends with exit code 1 when the
    zip is larger than Lambda takes.

    Example:
      carboy build . --python 3.13 --arch arm64 --inject-build-info --exclude '*.md'
    """
    options = _options(given)
    if is_image:
        click.echo(_dockerfile(options), nl=False)
        return
    report = _build(options)
    if as_json:
        print_json(_document(report))
    elif is_list:
        print_table(["BYTES", "FILE", "WHY"], [(each.size_bytes, each.path, each.why) for each in report.entries])
    else:
        print_table(["LARGEST", "UNPACKED"], [(each.name, _size(each.size_bytes)) for each in report.largest()])
    _report(report)
    if not report.fits:
        ctx.exit(1)


def _options(given: dict[str, Any]) -> "BuildOptions":
    from carboy.bundle import BuildOptions

    packages = [name for names in given.pop("dependencies") for name in names.replace(",", " ").split()]
    services = [name.strip() for names in given.pop("keep_services") for name in names.split(",") if name.strip()]
    return BuildOptions(**given, system_packages=packages, keep_services=services)


def _dockerfile(options: "BuildOptions") -> str:
    from carboy.bundle import load_requirements, render_dockerfile
    from carboy.bundle.wheels import find_uv

    return render_dockerfile(options, load_requirements(options, find_uv()).render_for_elsewhere())


def _build(options: "BuildOptions") -> "BuildReport":
    from carboy.bundle import STEPS, build

    if not sys.stderr.isatty():
        return build(options)
    with click.progressbar(length=len(STEPS), label="build", file=sys.stderr, item_show_func=str) as bar:
        done = 0

        def on_step(step: str) -> None:
            nonlocal done
            bar.update(done, current_item=step)
            done = 1

        report = build(options, on_step)
        bar.update(1, current_item="done")
    return report


def _report(report: "BuildReport") -> None:
    """Say on stderr what was made, and what is left of Lambda's limits."""
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    cached = " (dependencies from the cache)" if report.is_from_cache else ""
    click.echo(f"{report.target}: {_size(report.zip_bytes)}{cached}, sha256 {report.sha256}", err=True)
    for what, room, limit in (
        ("zip", report.zip_room_bytes, "50 MB"),
        ("unpacked", report.unpacked_room_bytes, "250 MB"),
    ):
        if room < 0:
            click.echo(f"error: {what}: {_size(-room)} over Lambda's {limit}", err=True)
            click.echo("hint: leave packages out, move some to a layer (--layer), or use an image (--image)", err=True)
        else:
            click.echo(f"{what}: {_size(room)} left of {limit}", err=True)


def _document(report: "BuildReport") -> dict[str, Any]:
    sizes = ("zip_bytes", "unpacked_bytes", "zip_room_bytes", "unpacked_room_bytes")
    return {
        "target": str(report.target),
        **{name: getattr(report, name) for name in ("sha256", *sizes, "fits", "is_from_cache")},
        "notes": list(report.notes),
        "largest": [asdict(each) for each in report.largest()],
        "files": [asdict(each) for each in report.entries],
    }


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:.1f} MB" if size_bytes >= 104_858 else f"{size_bytes / 1024:.1f} kB"
