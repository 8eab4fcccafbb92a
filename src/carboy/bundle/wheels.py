"""Install wheels for the function's platform into a folder: by uv, by pip where it is absent. Nothing is built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from carboy.bundle.options import Arch
from carboy.errors import CarboyError, Missing

__all__ = ["find_uv", "install_wheels"]

_NEW_SYSTEM = {"3.12", "3.13", "3.14"}  # Amazon Linux 2023 has glibc 2.34, Amazon Linux 2 before it 2.26
_MACHINES: dict[Arch, str] = {"x86_64": "x86_64", "arm64": "aarch64"}
_NO_WHEEL = (
    re.compile(r"all versions of ([A-Za-z0-9._-]+)(?:[=<>!~]\S+)? have no (?:usable )?wheels"),
    re.compile(r"([A-Za-z0-9._-]+?)(?:==\S+)? has no (?:usable )?wheels"),
    re.compile(r"Building source distributions for `([A-Za-z0-9._-]+)` is disabled"),
    re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)"),
)


def find_uv() -> str | None:
    """Return the path of uv, on the PATH or beside this Python, or None."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None:
        try:
            from uv import find_uv_bin

            found = find_uv_bin()
        except (ImportError, FileNotFoundError):
            return None
    return found


def install_wheels(requirements: Path, target: Path, python: str, arch: Arch, uv: str | None) -> None:
    """Install requirements into a folder.

    Args:
        requirements: a file in pip's format.
        target: the folder; it is made.
        python: the minor version that the wheels are for.
        arch: the processor that they are for.
        uv: the program; None to use pip.

    Raises:
        Missing: a package has no wheel for the platform; it is named.
        CarboyError: anything else went wrong.
    """
    command = _uv_command(uv, python, arch) if uv else _pip_command(python, arch)
    command += ["--target", str(target), "-r", str(requirements)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        return
    said = " ".join(ran.stderr.split())
    named = sorted({name for pattern in _NO_WHEEL for name in pattern.findall(said)})
    if named:
        raise Missing(
            f"`{'`, `'.join(named)}` cannot be installed",
            f"there is no wheel for Python {python} on {arch} (Amazon Linux)",
            "choose a version that has one or another package, or build an image instead (--image)",
        )
    raise CarboyError(
        "the dependencies could not be installed",
        ran.stderr.strip()[-1500:] or f"`{command[0]}` ended with {ran.returncode}",
        "see the message above; nothing was written",
    )


def _uv_command(uv: str, python: str, arch: Arch) -> list[str]:
    platform = f"{_MACHINES[arch]}-manylinux_2_{34 if python in _NEW_SYSTEM else 17}"
    return [
        *(uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-build"),
        *("--python-version", python, "--python-platform", platform),
    ]


def _pip_command(python: str, arch: Arch) -> list[str]:
    newest = 34 if python in _NEW_SYSTEM else 26
    machine = _MACHINES[arch]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)] + [f"manylinux2014_{machine}"]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", python),
        *(part for platform in platforms for part in ("--platform", platform)),
    ]
