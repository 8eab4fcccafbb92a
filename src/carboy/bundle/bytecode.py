"""Compile to bytecode that a read-only disk keeps: unchecked-hash `.pyc`, by an interpreter of the target's version.

Such a file is used without a look at its source, so it needs neither times nor writing. The bytes depend on the sources
alone: one process compiles all, in order, with a fixed hash seed and with the paths that the code will have on Lambda.

Source: PEP 552.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from carboy.errors import CarboyError

__all__ = ["compile_all", "find_python", "pyc_name"]

_PROGRAM = """
import json, os, py_compile, sys
done = []
for source, target, shown in json.load(sys.stdin):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        py_compile.compile(source, target, shown, doraise=True, quiet=2,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except (py_compile.PyCompileError, ValueError, RecursionError):
        continue
    done.append(target)
json.dump(done, sys.stdout)
"""


@cache
def find_python(version: str) -> str | None:
    """Return the path of an interpreter of a minor version, such as `3.13`: this one, on the PATH or pyenv's."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return sys.executable
    home = Path.home()
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(map(str, home.glob(f".pyenv/versions/{version}.*/bin/python")), reverse=True),
        *sorted(map(str, home.glob(f".local/share/uv/python/cpython-{version}.*/bin/python3")), reverse=True),
    ]
    return next((path for path in candidates if path and _is_version(path, version)), None)


def pyc_name(path: str, version: str) -> str:
    """Return where Python of a minor version looks for the bytecode of a module's path."""
    folder, _, name = path.rpartition("/")
    tag = "cpython-" + version.replace(".", "")
    return f"{folder}/__pycache__/{name[:-3]}.{tag}.pyc".removeprefix("/")


def compile_all(files: Sequence[tuple[Path, Path, str]], python: str) -> set[Path]:
    """Compile modules and return the bytecode files that came to be; what cannot be compiled is left out.

    Args:
        files: for each module the source, the bytecode file to write, and the path that tracebacks show.
        python: the interpreter.

    Raises:
        CarboyError: the interpreter failed.
    """
    if not files:
        return set()
    work = json.dumps([[str(source), str(target), shown] for source, target, shown in files])
    command = [python, "-S", "-B", "-W", "ignore", "-c", _PROGRAM]
    environ = {"PYTHONHASHSEED": "0", "PATH": os.defpath}
    ran = subprocess.run(command, input=work, capture_output=True, text=True, check=False, env=environ)
    if ran.returncode:
        raise CarboyError("the bytecode could not be made", ran.stderr.strip()[-500:], f"try `{python}` by hand")
    return {Path(path) for path in json.loads(ran.stdout)}


def _is_version(path: str, version: str) -> bool:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.stdout.strip() == version
