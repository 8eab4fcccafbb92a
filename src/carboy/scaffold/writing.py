"""Write files that are not there: all of them or none, and never over another."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from carboy.errors import CarboyError, UsageError
from carboy.scaffold.choices import Choices
from carboy.scaffold.names import check_name
from carboy.scaffold.rendering import render_service


def make_service(folder: Path, choices: Choices) -> list[str]:
    """Make a service in a folder, which becomes its name, and return the paths of its files below it.

    Raises:
        UsageError: the name cannot be, or the folder holds something.
        MissingExtra: what it is made with is not installed here.
        CarboyError: the files cannot be written; what was written is removed again.
    """
    name = folder.resolve().name
    check_name(name)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(
            f"`{folder}` cannot be made",
            "it is there, and holds something" if folder.is_dir() else "a file of that name is there",
            f"choose another name, or add what an existing project lacks: carboy new {folder} --into",
        )
    files = render_service(name, choices)
    write_files(folder, files)
    return sorted(files)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files of which none is there; where one cannot be written, all are taken back.

    Raises:
        CarboyError: a file is there, or the disk refuses.
    """
    made: list[Path] = []
    try:
        for relative, text in files.items():
            path = folder / relative
            for parent in reversed([path.parent, *path.parent.parents]):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        why = error.strerror or type(error).__name__
        raise CarboyError(f"`{folder}` was not written", why, "nothing was left behind; fix that and try again") from (
            error
        )
