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
from base64 import b64decode
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from carboy.errors import CarboyError

_PROCESSES = 4  # a fixed number: what else a process compiles may show in its bytes
_PROGRAM = """
import base64, importlib.util, json, marshal, struct, sys
for path, shown in json.load(sys.stdin):
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, shown, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        print()
        continue
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + importlib.util.source_hash(source)
    print(base64.b64encode(head + marshal.dumps(code)).decode())
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


def compile_all(files: Sequence[tuple[Path, str]], python: str) -> list[bytes]:
    """Return the bytecode of modules, in their order; empty where one cannot be compiled.

    Args:
        files: for each module its file, and the path that tracebacks show.
        python: the interpreter.

    Raises:
        CarboyError: the interpreter failed.
    """
    running = [_start(python, files[first::_PROCESSES]) for first in range(min(_PROCESSES, len(files)))]
    results: list[bytes] = [b""] * len(files)
    for first, (process, work) in enumerate(running):
        made, said = process.communicate(work)
        if process.returncode:
            why = said.decode("utf-8", "replace").strip()[-500:]
            raise CarboyError("the bytecode could not be made", why, f"try `{python}` by hand")
        results[first::_PROCESSES] = map(b64decode, made.splitlines())
    return results


def _start(python: str, files: Sequence[tuple[Path, str]]) -> tuple[subprocess.Popen[bytes], bytes]:
    command = [python, "-S", "-B", "-W", "ignore", "-c", _PROGRAM]
    environ = {"PYTHONHASHSEED": "0", "PATH": os.defpath}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environ)
    return process, json.dumps([[str(path), shown] for path, shown in files]).encode()


def _is_version(path: str, version: str) -> bool:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.stdout.strip() == version
