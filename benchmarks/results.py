"""Results of benchmarks as JSON, their comparison with earlier ones, and the page made from them."""

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "measured"
PAGE = ROOT / "docs" / "reference" / "performance.md"
_ABOUT = """\
What `make bench` printed. Each table has a peer or a floor of the same run: trust the ratios, not the values, which
depend on the machine and on what else it does."""
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
_CELLS = re.compile(r"\s{2,}")


def measure(name: str, run: Callable[[], None]) -> dict[str, Any]:
    """Run a benchmark, show what it prints, and return its result."""
    shown = _Tee(sys.stdout)
    with redirect_stdout(shown):
        run()
    return {
        "benchmark": name,
        "measured_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}",
        "output": shown.getvalue().strip().splitlines(),
    }


def write(result: dict[str, Any], folder: Path = KEPT) -> None:
    """Write a result as `<benchmark>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result['benchmark']}.json").write_text(
        json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8"
    )


def read(folder: Path = KEPT) -> dict[str, dict[str, Any]]:
    """Return the results of a folder by benchmark."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def figures(output: list[str]) -> Iterator[tuple[str, float]]:
    """Yield each number of a table with its row and place: `carboy.api [1]`; sentences have no figures."""
    for line in output:
        label, *cells = _CELLS.split(line.strip())
        for place, text in enumerate(found for cell in cells for found in _NUMBER.findall(cell)):
            yield f"{label} [{place + 1}]", float(text.replace(",", ""))


def compare(before: dict[str, Any], now: dict[str, Any], least: float = 1.1) -> list[str]:
    """Return a line for each figure that differs by a factor of `least` or more from an earlier result."""
    earlier = dict(figures(before["output"]))
    lines = []
    for name, value in figures(now["output"]):
        old = earlier.get(name)
        if old and value and not 1 / least < value / old < least:
            lines.append(f"{now['benchmark']}: {name}: {old:g} -> {value:g}, {value / old:.2f} times")
    return lines


def render_page(results: dict[str, dict[str, Any]], purposes: dict[str, str]) -> str:
    """Return the page of what was measured."""
    parts = [
        "# Performance",
        "<!-- made by `python -m benchmarks --page`; do not edit -->",
        _ABOUT,
    ]
    for name, result in sorted(results.items()):
        about = f"{result['measured_at'][:10]}, {result['machine']}, Python {result['python']}"
        output = "\n".join(line.rstrip() for line in result["output"])
        parts += [f"## {name}", purposes[name], f"```text\n{output}\n```", f"`make bench BENCH={name}`; {about}."]
    return "\n\n".join(parts) + "\n"


class _Tee(StringIO):
    """Keeps what is printed, and shows it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(text)
        self._stream.flush()
        return super().write(text)
