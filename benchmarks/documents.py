"""Load every OpenAPI document below a folder, make its blueprint, and print what was served and what was refused.

    python -m benchmarks.documents FOLDER [--limit N] [--timeout SECONDS] [--list REASON]

A file counts as a document when it has `openapi` or `swagger` at its root. Operations are generated: each operationId
that is missing gets one. Anything but a `ConfigurationError` is a raw error, which there must be none of.
"""

import argparse
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from carboy.api import blueprint, load_document
from carboy.api.walk import operations_of
from carboy.errors import ConfigurationError

_ROOT = re.compile(rb"""^\s*\{?\s*["']?(openapi|swagger)["']?\s*:|[\n,{]\s*["'](openapi|swagger)["']\s*:\s*["'][23]""")
_VALUE = re.compile(r"`[^`]*`|[0-9]+|\"[^\"]*\"")


class Result(NamedTuple):
    """What became of one document.

    Attributes:
        file: its path.
        size_bytes: of the file.
        seconds: to load it and to make its blueprint.
        reason: empty when it is served; else the words of its first fault, or the raw error.
        is_raw: the error was not a `ConfigurationError`.
    """

    file: Path
    size_bytes: int
    seconds: float
    reason: str
    is_raw: bool


def main() -> None:
    """Print the table; the exit code is 1 when there was a raw error."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="so many documents at most")
    parser.add_argument("--timeout", type=int, default=120, help="seconds that one document may take")
    parser.add_argument("--list", default="", help="list the documents whose reason contains this")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` ends it, as it ends other programs
    results = []
    for file in _documents(options.folder):
        results.append(_try(file, options.timeout))
        if options.limit and len(results) >= options.limit:
            break
    _print(results, options.list)
    raise SystemExit(1 if any(one.is_raw for one in results) else 0)


def _documents(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.suffix in {".json", ".yaml", ".yml"} and file.is_file() and _ROOT.search(file.read_bytes()[:20_000]):
            yield file


def _try(file: Path, timeout_s: int) -> Result:
    begin, reason, is_raw = time.perf_counter(), "", False
    signal.alarm(timeout_s)
    try:
        document = load_document(file)
        content, names = _with_operations(document.content)
        schemes = content.get("components", {}).get("securitySchemes", {})
        blueprint(
            replace(document, content=content),
            dict.fromkeys(names, _operation),
            security={name: _authorise for name in schemes if _is_needed(content, name)},
            validate_responses=True,
        )
    except ConfigurationError as error:
        reason = error.faults[0].detail.removeprefix(f"{file}:") if error.faults else error.why
    except Exception as error:  # what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason, is_raw = f"{type(error).__name__} in {Path(place.filename).name}: {str(error)[:80]}", True
    finally:
        signal.alarm(0)
    return Result(file, file.stat().st_size, time.perf_counter() - begin, reason, is_raw)


def _with_operations(content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Give each operation without an operationId a generated one; return the copy and the names."""
    names: list[str] = []
    paths = {}
    for path, item in content.get("paths", {}).items():
        if not path.startswith("/"):
            continue
        paths[path] = result = dict(item)
        for below, _, node in operations_of(item):
            name = node.get("operationId") or f"operation_{len(names)}"
            names.append(name)
            if len(below) > 1:
                result[below[0]] = {**result[below[0]], below[1]: {**node, "operationId": name}}
            else:
                result[below[0]] = {**node, "operationId": name}
    return {**content, "paths": paths}, names


def _is_needed(content: dict[str, Any], name: str) -> bool:
    needed = [content.get("security")]
    for path, item in content.get("paths", {}).items():
        if not path.startswith("/"):
            continue
        needed += [node.get("security") for _, _, node in operations_of(item) if isinstance(node, dict)]
    return any(name in one for requirements in needed for one in requirements or ())


def _operation(**arguments: Any) -> dict[str, Any]:
    return arguments


def _authorise(*_credentials: str) -> dict[str, Any]:
    return {}


def _give_up(*_: object) -> None:
    raise TimeoutError("the time is up")


def _summary(reason: str) -> str:
    return _VALUE.sub("…", reason.split(": ", 1)[-1].partition("\n")[0])


def _print(results: list[Result], wanted: str) -> None:
    served = [one for one in results if not one.reason]
    raw = [one for one in results if one.is_raw]
    megabytes = sum(one.size_bytes for one in results) / 1e6
    seconds = sum(one.seconds for one in results)
    print(f"documents   {len(results):6}   {megabytes:.1f} MB in {seconds:.1f} s")
    print(f"served      {len(served):6}")
    print(f"refused     {len(results) - len(served) - len(raw):6}")
    print(f"raw errors  {len(raw):6}")
    reasons = Counter(
        _VALUE.sub("…", one.reason.split(": ", 1)[-1].partition("\n")[0])
        for one in results
        if one.reason and not one.is_raw
    )
    for reason, count in reasons.most_common(40):
        print(f"  {count:5}  {reason[:110]}")
    for one in raw:
        print(f"  raw    {one.file}: {one.reason}")
    print("slowest, seconds for each MB (of documents over 50 kB)")
    large = [one for one in results if one.size_bytes > 50_000]
    for one in sorted(large, key=lambda one: -one.seconds / one.size_bytes)[:8]:
        size_mb = one.size_bytes / 1e6
        print(f"  {one.seconds / size_mb:7.2f}  {one.seconds:6.2f} s  {size_mb:6.2f} MB  {one.file}")
    for one in results:
        if wanted and wanted in one.reason:
            print(f"  {one.file}: {one.reason}")


if __name__ == "__main__":
    main()
