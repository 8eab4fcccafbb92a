"""Decide which files of installed packages go into the zip, and why; a pure module."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

RUNTIME_HAS = frozenset({"boto3", "botocore", "s3transfer"})
"""The distributions that Lambda's own Python has, and that stay out unless they are asked for."""

ALWAYS_SERVICES = frozenset({"signin", "sso", "sso-oidc", "sts"})
"""The services that botocore's own credentials need."""

_CALL = r"""\b(?:create_client|client|resource)\(\s*(?:service_name\s*=\s*)?"""
_CALLED = re.compile(_CALL + r"""["']([a-z0-9][a-z0-9-]*)["']""")
_CALLED_BY_NAME = re.compile(_CALL + r"""[A-Za-z_]""")
_USES_SDK = re.compile(r"\b(?:aio)?boto(?:3|core)\b")
_LITERAL = re.compile(r"""["']([a-z0-9][a-z0-9-]*)["']""")
_DIST_INFO = {"METADATA", "entry_points.txt", "top_level.txt", "licenses"}
_LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|notice)")
_JUNK_FOLDERS = {"__pycache__", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "node_modules"}
_JUNK_NAMES = {".DS_Store", ".lock"}  # the second is an installer's
_JUNK_SUFFIXES = {".c", ".cc", ".cpp", ".h", ".pxd", ".pyx", ".a", ".orig", ".swp"}


def is_junk(path: PurePosixPath) -> bool:
    """Report whether nothing reads such a file of a package at run time: caches, compiler's input, leftovers."""
    return (
        path.name in _JUNK_NAMES or path.suffix in _JUNK_SUFFIXES or any(part in _JUNK_FOLDERS for part in path.parts)
    )


def services_called(code: str, known: Iterable[str]) -> set[str]:
    """Return the AWS services that a package's code makes clients and resources of.

    Where the name of the service is a variable, every string counts that is a service's name.
    """
    if not _USES_SDK.search(code):
        return set()
    called = set(_CALLED.findall(code)) & set(known)
    return called | services_named(code, known) if _CALLED_BY_NAME.search(code) else called


def services_named(code: str, known: Iterable[str]) -> set[str]:
    """Return the AWS services whose names are strings in the code: one may reach `client(name)`."""
    return set(_LITERAL.findall(code)) & set(known)


def why_in(
    path: PurePosixPath,
    package: str,
    *,
    wants_boto3: bool,
    services: Mapping[str, str] | None,
    keeps_tests: bool,
    keeps_stubs: bool,
) -> str | None:
    """Return why a file of a distribution goes into the zip, or None when it stays out.

    Args:
        path: in the folder of installed packages.
        package: the distribution, such as `flask 3.1.3`.
        wants_boto3: whether what the runtime has goes in as well.
        services: the AWS services whose data is kept, each with its reason; None for all.
        keeps_tests: whether the folders `tests` stay: the package's code reads them, or they hold data alone.
        keeps_stubs: whether something reads `.pyi` files at run time.
    """
    name = package.partition(" ")[0].lower().replace("_", "-")
    if is_junk(path) or (name in RUNTIME_HAS and not wants_boto3):
        return None
    if path.parts[0].endswith(".dist-info"):
        if path.parts[1] in _DIST_INFO or _LICENCE.match(path.parts[1]):
            return f"metadata of {package}"
        return None
    if (path.suffix == ".pyi" and not keeps_stubs) or path.name == "py.typed":
        return None
    if not keeps_tests and "tests" in path.parts[1:-1]:
        return None
    if path.parts[0] in {"botocore", "boto3"} and len(path.parts) > 3 and path.parts[1] == "data":
        if services is None:
            return "AWS service data: all are kept"
        reason = services.get(path.parts[2])
        return f"AWS service data: {reason}" if reason else None
    return f"dependency {package}"
