"""Wheels for builds without a network: small ones made on the spot, and those of what is installed here."""

import base64
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def make_wheel(
    folder: Path,
    name: str,
    files: Mapping[str, str] | Mapping[str, bytes],
    version: str = "1.0",
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
) -> None:
    """Write a wheel with these files, which needs these distributions."""
    info = f"{name}-{version}.dist-info"
    content = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    needed = "".join(f"Requires-Dist: {each}\n" for each in requires)
    extras = sorted({extra for each in requires for extra in re.findall(r"extra == [\"'](\w+)", each)})
    offered = "".join(f"Provides-Extra: {extra}\n" for extra in extras)
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}{offered}"
    content[f"{info}/METADATA"] = about.encode()
    content[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    _write(folder / f"{name}-{version}-{tag}.whl", info, content)


def make_sdist(folder: Path, name: str, version: str = "1.0") -> None:
    """Write a source distribution: something that would have to be built."""
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
        data = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def repack(folder: Path, *names: str) -> None:
    """Write the wheels of installed distributions."""
    for name in names:
        installed = distribution(name)
        files = [path for path in installed.files or [] if ".." not in path.parts and path.suffix != ".pyc"]
        info = next(path.parts[0] for path in files if path.parts[0].endswith(".dist-info"))
        skip = {f"{info}/{leftover}" for leftover in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")}
        content = {str(path): Path(str(path.locate())).read_bytes() for path in files if str(path) not in skip}
        commands = {command.name for command in installed.entry_points}  # made anew when it is installed
        scripts = [path for path in installed.files or [] if ".." in path.parts and path.name not in commands]
        for path in scripts:
            inside = f"{info.removesuffix('.dist-info')}.data/scripts/{path.name}"
            content[inside] = Path(str(path.locate())).read_bytes()
        tags = [line[5:] for line in content[f"{info}/WHEEL"].decode().splitlines() if line.startswith("Tag: ")]
        python, abi, platform = zip(*(tag.split("-") for tag in tags), strict=True)
        tag = "-".join(".".join(dict.fromkeys(parts)) for parts in (python, abi, platform))
        _write(folder / f"{info.removesuffix('.dist-info')}-{tag}.whl", info, content)


def needed_by(*wanted: str) -> set[str]:
    """Return the installed distributions that these requirements need, and what those need."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        lines = [Requirement(line) for line in _requires(name)] if one.extras or name not in found else []
        markers = [{"extra": extra} for extra in one.extras or {""}]
        after = [line for line in lines if line.marker is None or any(line.marker.evaluate(facts) for facts in markers)]
        waiting += [line for line in after if line.extras or canonicalize_name(line.name) not in found]
        found.add(name)
    return {name for name in found if _requires(name) is not _MISSING}


_MISSING: list[str] = []


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return _MISSING


def _write(path: Path, info: str, content: Mapping[str, bytes]) -> None:
    rows = []
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in content.items():
            wheel.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(data)}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
