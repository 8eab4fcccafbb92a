"""Install system packages and wheels in a container of Lambda's own image, for `--dependencies`."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from carboy.bundle.options import Arch
from carboy.errors import CarboyError, Unreachable

_PLATFORMS: dict[Arch, str] = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


def base_image(python: str) -> str:
    """Return AWS's image of a Lambda runtime."""
    return f"public.ecr.aws/lambda/python:{python}"


def system_command(python: str, packages: Sequence[str]) -> str:
    """Return the command that installs packages of the runtime's operating system."""
    tool = "yum" if python in {"3.10", "3.11"} else "dnf"
    return f"{tool} install -y {' '.join(packages)} && {tool} clean all"


def find_engine() -> str:
    """Return a container engine that answers.

    Raises:
        Unreachable: no container engine was found.
    """
    for name in ("docker", "podman"):
        path = shutil.which(name)
        if path and subprocess.run([path, "info"], capture_output=True, check=False).returncode == 0:
            return path
    raise Unreachable(
        "system packages cannot be installed",
        "no container engine answers; neither `docker` nor `podman` is there and running",
        "start one, or take the recipe that `carboy build --image` prints to where one is",
    )


def install_in_container(
    engine: str, requirements: Path, target: Path, python: str, arch: Arch, packages: Sequence[str]
) -> None:
    """Install requirements into a folder inside a container, and the libraries of system packages into `lib/` of it.

    Raises:
        CarboyError: the container failed.
    """
    target.mkdir(parents=True, exist_ok=True)
    script = (
        f"set -e; {system_command(python, packages)}; "
        "pip install --quiet --target /out -r /in/requirements.txt; mkdir -p /out/lib; "
        f"for file in $(rpm -ql {' '.join(packages)} | grep '[.]so'); do cp -L $file /out/lib/; done"
    )
    command = [
        *(engine, "run", "--rm", "--platform", _PLATFORMS[arch], "--entrypoint", "/bin/sh"),
        *("-v", f"{requirements}:/in/requirements.txt:ro", "-v", f"{target}:/out", base_image(python), "-c", script),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CarboyError("the container failed", ran.stderr.strip()[-1500:], "see the message above")
