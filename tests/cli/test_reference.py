"""The reference pages say what the code says."""

import io
import json
import subprocess
import sys
from pathlib import Path

from docs.tools.reference.application import example
from docs.tools.reference.errors import render_errors
from docs.tools.reference.http import render_http
from docs.tools.reference.observability import LINE_FIELDS, render_metrics

from carboy import logs
from carboy.config import settings_of
from carboy.config.base import BaseSettings
from carboy.config.load import read_sources
from carboy.serve import ServeSettings
from carboy.web import settings_parts
from carboy.web.openapi import merged_document

ROOT = Path(__file__).parents[2]


def test_the_reference_pages_are_not_stale() -> None:
    """`python -m docs.tools.reference` writes them again, in a process of its own."""
    command = [sys.executable, "-m", "docs.tools.reference", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert done.stderr == ""
    assert done.returncode == 0


def test_every_setting_has_words(tmp_path: Path) -> None:
    """One sentence without a full stop; a number of seconds or bytes says so in its name or unit."""
    for part in (BaseSettings, ServeSettings, *settings_parts(read_sources(folder=tmp_path, environ={}))):
        for item in settings_of(part):
            assert item.help, item.name
            assert not item.help.endswith("."), item.name
            if item.name.endswith("_S"):
                assert item.unit == "s", item.name


def test_the_page_of_the_metrics_names_every_metric_of_a_gateway() -> None:
    """What a dashboard can ask for is found without a running gateway."""
    with example() as runtime:
        lines = runtime.metrics.render().decode().splitlines()
    names, page = {line.split()[2] for line in lines if line.startswith("# TYPE")}, render_metrics()

    assert names
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_the_page_of_http_has_every_operation_of_the_document() -> None:
    """Each with who may call it and what it answers."""
    page = render_http()
    with example() as runtime:
        paths = merged_document(runtime.app)["paths"]

    for path, item in paths.items():
        for method in {"get", "post", "put", "patch", "delete"} & set(item):
            assert f"### `{method.upper()} {path}`" in page
    assert "with `archive:read`" in page


def test_an_error_is_reported_with_its_hint() -> None:
    """The page is searched for the words that a terminal showed."""
    row = "| the role needs an MFA code: it is not run on a terminal | run it on a terminal | `UsageError` |"

    assert row in render_errors()


def test_a_line_of_the_log_has_the_fields_of_the_page() -> None:
    """Those that every line has, and those of a request with an error."""
    stream = io.StringIO()
    logs.setup("INFO", format="json", stream=stream)
    try:
        with logs.request_context("a-request"):
            logs.get_logger("shop").error("order_failed", exc_info=ValueError("no tea"))
    finally:
        logs.reset()

    line = json.loads(stream.getvalue())

    known = {name for name, _, _ in LINE_FIELDS}
    assert set(line) <= known
    assert set(line) >= {"ts", "level", "logger", "event", "request_id", "exception"}
