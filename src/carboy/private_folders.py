"""Folders that no other user of the machine can write to, whatever the umask is."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["make_private_folder"]


def make_private_folder(folder: Path | str, mode: int = 0o700) -> None:
    """Create a folder and its missing parents, each with this mode at most; one that exists stays as it is.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    path = Path(folder)
    for one in reversed([one for one in (path, *path.parents) if not one.exists()]):
        with suppress(FileExistsError):  # another process was first
            one.mkdir(mode)
    os.makedirs(path, exist_ok=True)  # raises where it is a file
