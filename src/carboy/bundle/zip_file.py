"""Write a zip whose bytes depend on its content alone: sorted, without times, with two modes."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_FILE, _PROGRAM = 0o644, 0o755


def append_files(archive: Path, files: Iterable[tuple[str, Path | bytes]]) -> None:
    """Add files to a zip, which is made when it is not there.

    Args:
        archive: the zip.
        files: the path in the zip and the file, or its content, of each.
    """
    with ZipFile(archive, "a", ZIP_DEFLATED, compresslevel=6) as zipped:
        for name, content in sorted(files, key=lambda item: item[0]):
            info = ZipInfo(name, _FIRST_DAY)
            info.create_system = 3  # Unix, wherever this runs
            info.compress_type = ZIP_DEFLATED
            mode = _FILE
            if isinstance(content, Path) and os.stat(content).st_mode & stat.S_IXUSR and not name.endswith(".so"):
                mode = _PROGRAM
            info.external_attr = (stat.S_IFREG | mode) << 16
            zipped.writestr(info, content if isinstance(content, bytes) else content.read_bytes())
