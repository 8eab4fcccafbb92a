"""Every row of docs/how-to/predecessors.md holds, and the page says what the rows say."""

import ast
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import boto3
import pytest
from docs.tools.predecessors import PAGE, render_page
from flask import Flask
from flask.testing import FlaskClient
from tests.cli.encrypted_kit import OPEN, Shop
from tests.lab.signing_keys import KeyServer, MemoryKeys
from tests.predecessors.rows import PARTS, Names, Row, names, rows

from carboy import aws, create_app, logs, trace
from carboy.fleece import log
from carboy.testing import UdpListener
from carboy.web import runtime

ROOT = Path(__file__).parents[2]
ROWS = [row for part in PARTS for row in rows(part)]
ALERT = {"id": "587c0159a907346eccb84004", "created_at": "1484661060000", "title": "A login"}
GIVEN: dict[str, Any] = {
    "alert": ALERT,
    "json": json,
    "message": {"receivers": "+8613800000000", "template": "captcha", "params": {"code": "1234"}},
    "open_form": OPEN,
    "raises": pytest.raises,
    "span": {"start": "2017-01-17T13:00:00Z", "end": "2017-01-17T14:00:00Z"},
}
FIXTURES = ("archive", "capsys", "cli", "daemon", "lines", "loopback", "moto", "sms", "tmp_path")
_STARTING = {"cli", "daemon", "moto"}  # processes


@pytest.fixture
def lines() -> Callable[[], list[dict[str, Any]]]:
    """What is logged, as JSON."""
    stream = io.StringIO()
    log.setup_root_logger(logging.INFO, stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[UdpListener]:
    """X-Ray's daemon, as Lambda's environment names it."""
    with UdpListener() as listener:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", listener.address)
        sampled = "Root=1-5901e3bc-8da3814a5f3ccbc864b66ecc;Parent=328f72132deac0ce;Sampled=1"
        monkeypatch.setenv("_X_AMZN_TRACE_ID", sampled)
        yield listener


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Shop]:
    """The command `carboy` in a folder of its own, with a key service."""
    folder = tmp_path / "work"
    folder.mkdir()
    with KeyServer(MemoryKeys("prod-key", "dev-key", "prod-key-here", "dev-key-here")) as keys:
        shop = Shop(folder)
        shop.use(keys)
        yield shop


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[Callable[..., FlaskClient]]:
    """Makes clients of services."""
    made: list[Flask] = []

    def make(**settings: Any) -> FlaskClient:
        given = {"instance_path": str(tmp_path), "auth": "off", "log_format": "json", **settings}
        made.append(create_app("test", folder=tmp_path, **given))
        return made[-1].test_client()

    yield make
    for app in made:
        runtime(app).close()


@pytest.fixture
def archive(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A client of the archive, without a detail of Threat Stack's."""
    return make_client(modules="carboy.services.archive", archive_url="memory://")


@pytest.fixture
def sms(make_client: Callable[..., FlaskClient], tmp_path: Path) -> Callable[..., FlaskClient]:
    """Makes clients of the gateway, which writes its messages to a file."""
    templates = {"captcha": {"params": ["code"], "text": "Your code is {code}"}}

    def make(**settings: Any) -> FlaskClient:
        outbox = str(tmp_path / "outbox.jsonl")
        return make_client(modules="carboy.services.sms", sms_templates=templates, sms_outbox=outbox, **settings)

    return make


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave nothing that a row has set for the whole process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    kept = boto3.DEFAULT_SESSION, logging.root.handlers[:]
    yield
    boto3.DEFAULT_SESSION, logging.root.handlers[:] = kept
    aws.set_default_session(None)
    trace.reset()
    logs.reset()


def _wanted(row: Row) -> set[str]:
    return {name for name in FIXTURES if re.search(rf"\b{name}\b", row.run)}


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.server] if not _STARTING.isdisjoint(_wanted(row)) else [])
        for row in ROWS
        if row.run
    ],
    ids=str,
)
def test_what_a_row_says_holds(row: Row, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python runs as a reader would write it."""
    given = {name: request.getfixturevalue(name) for name in _wanted(row)}

    exec(compile(dedent(row.run), str(row), "exec"), {**GIVEN, "env": monkeypatch, **given})  # noqa: S102


@pytest.mark.parametrize("row", [row for row in ROWS if row.run], ids=str)
def test_a_row_asserts_something(row: Row) -> None:
    tree = ast.parse(dedent(row.run))
    raises = {"raises", "compile"}
    calls = {one.func.id for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}
    codes = [one for one in ast.walk(tree) if isinstance(one, ast.keyword) and one.arg == "code"]

    assert raises & calls or codes or any(isinstance(one, ast.Assert) for one in ast.walk(tree))


@pytest.mark.parametrize("row", [row for row in ROWS if row.shown_by], ids=str)
def test_the_test_that_a_row_names_is_there(row: Row) -> None:
    """A test by its name: a whole file or folder shows nothing in particular."""
    path, _, function = row.shown_by.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))

    assert function in {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize("module", names(), ids=lambda module: module.module)
def test_the_names_of_a_module_are_there(module: Names) -> None:
    """And those that the page calls missing are."""
    found = import_module(f"carboy.fleece.{module.module}")

    assert [name for name in module.here if not hasattr(found, name)] == []
    assert [name for name in module.missing if hasattr(found, name)] == []


def test_the_page_says_what_the_rows_say() -> None:
    assert PAGE.read_text("utf-8") == render_page(), "run `python -m docs.tools.predecessors`"
