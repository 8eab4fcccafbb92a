"""Read the dependencies of a project that only setuptools' own files describe: `setup.cfg` and `setup.py`.

Source: setuptools' documentation, "Configuring setuptools using setup.cfg files".
"""

from configparser import ConfigParser
from pathlib import Path

from carboy.bundle.lines import Line
from carboy.bundle.requirements_txt import parse_file, parse_line
from carboy.errors import CarboyError


def from_setup(folder: Path) -> list[Line]:
    """Return the dependencies that `setup.cfg` names.

    Raises:
        CarboyError: `setup.py` names them, which would have to be run.
    """
    config, script = folder / "setup.cfg", folder / "setup.py"
    parser = ConfigParser(interpolation=None)
    if config.is_file():
        parser.read_string(config.read_text("utf-8"))
    declared = parser.get("options", "install_requires", fallback="").strip()
    if not declared and script.is_file() and "install_requires" in script.read_text("utf-8", "replace"):
        raise CarboyError(
            "the dependencies cannot be read",
            "`setup.py` names them, which is a program",
            "run `uv pip compile setup.py -o requirements.txt`, or name another file with --requirements",
        )
    if declared.startswith("file:"):
        names = declared.removeprefix("file:").replace("\n", ",").split(",")
        return [line for name in names if name.strip() for line in parse_file(folder / name.strip())]
    texts = declared.splitlines() if "\n" in declared else declared.split(";")
    return [parse_line(text.strip(), folder) for text in texts if text.strip() and not text.strip().startswith("#")]
