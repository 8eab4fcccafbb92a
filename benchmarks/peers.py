"""The programs that we are measured against, each set in an environment of its own, made once."""

import subprocess
import sys
from pathlib import Path

from carboy.bundle.wheels import find_uv

_HOME = Path.home() / ".cache" / "carboy" / "benchmarks"


def environment(name: str, *packages: str) -> Path:
    """Return the Python of an environment with these packages."""
    folder = _HOME / name
    python = folder / "bin" / "python"
    done = folder / "done.txt"
    wanted = "\n".join(packages)
    if not done.is_file() or done.read_text() != wanted:
        uv = str(find_uv())
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *packages], check=True)
        done.write_text(wanted)
    return python


def environment_or_none(name: str, *packages: str) -> Path | None:
    """Return the Python of an environment with these packages, or say that it cannot be made."""
    try:
        return environment(name, *packages)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name}: not installed, and not measured ({error})")
        return None


def site_packages(python: Path) -> str:
    """Return where an environment keeps its packages."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True).stdout.strip()
