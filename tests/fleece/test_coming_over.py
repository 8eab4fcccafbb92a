"""What a project on Fleece does, line by line, and goes on to do with these names."""

import io
import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3 as plain_boto3
import pytest

from carboy import aws, logs, trace
from carboy.fleece import boto3, log, profiling, requests, utils, xray
from carboy.fleece.connexion import RESPONSE_CONTRACT_VIOLATION, FleeceApp, get_connexion_app
from carboy.fleece.testing import LambdaEvent
from carboy.testing import LoopbackServer, UdpListener, json_answer

TRACE = "Root=1-5901e3bc-8da3814a5f3ccbc864b66ecc;Parent=328f72132deac0ce;Sampled=1"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    made = io.StringIO()
    log.setup_root_logger(logging.INFO, made)
    yield made
    logs.reset()


@pytest.fixture
def _own_sessions() -> Iterator[None]:
    kept = plain_boto3.DEFAULT_SESSION
    aws.set_default_session(None)
    yield
    plain_boto3.DEFAULT_SESSION = kept
    aws.set_default_session(None)


class Kept(logging.Handler):
    """Keeps what it gets; fails at first."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.lines, self.failures = list[str](), failures

    def emit(self, record: logging.LogRecord) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.lines.append(record.getMessage())


def test_a_logger_takes_handlers_and_levels(stream: io.StringIO) -> None:
    """It is the `logging.Logger` of its name to its users, and one in structlog's form."""
    logger, kept = log.get_logger("moved.orders"), Kept()
    logger.addHandler(kept)
    try:
        logger.info("order_shipped", order_id=17)
        logger.setLevel(logging.ERROR)
        logger.info("dropped")
        logger.bind(a=1).error("failed")
        assert (logger.name, logger.level, logger.hasHandlers()) == ("moved.orders", logging.ERROR, True)
        assert kept in logger.handlers
        assert logger.parent is logging.root
        logger.propagate = False
        logger.error("only for the handler")
    finally:
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(kept)

    assert kept.lines == ["order_shipped", "failed", "only for the handler"]
    assert "only for the handler" not in stream.getvalue()
    assert not logging.getLogger("moved.orders").handlers
    assert pickle.loads(pickle.dumps(logger.bind(a=1))).name == "moved.orders"  # noqa: S301


def test_records_are_delivered_before_lambda_stops_the_clock(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the logging call returns, also after repeats."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    kept = Kept(failures=2)
    handler = log.RetryHandler(kept, backoff_base=0.001)
    logger = log.get_logger("moved.lambda")
    logger.addHandler(handler)
    try:
        logger.info("order_shipped")
        assert kept.lines == ["order_shipped"]
    finally:
        logger.removeHandler(handler)
        handler.close()


@pytest.mark.usefixtures("_own_sessions")
def test_the_default_session_is_the_wrappers_too(loopback: LoopbackServer) -> None:
    """Its region and keys are those of `client` and `resource`."""
    boto3.setup_default_session(region_name="cn-north-1", aws_access_key_id="AKIAMOVED", aws_secret_access_key="x")

    client = boto3.client("dynamodb", endpoint_url=loopback.url)
    loopback.script(json_answer({"TableNames": []}))
    client.list_tables()

    assert client.meta.region_name == "cn-north-1"
    assert boto3.resource("dynamodb").meta.client.meta.region_name == "cn-north-1"
    assert "Credential=AKIAMOVED/" in loopback.requests[0].headers["authorization"]


@pytest.mark.slow
@pytest.mark.usefixtures("_own_sessions")
def test_every_later_client_is_traced(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where clients and the default session were made before the patch."""
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    plain_boto3.setup_default_session(region_name="eu-west-1")
    boto3.client("dynamodb", endpoint_url=loopback.url)
    with UdpListener() as daemon:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", daemon.address)
        monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE)
        xray.monkey_patch_botocore_for_xray()
        try:
            for module in (boto3, plain_boto3):
                loopback.script(json_answer({"TableNames": []}))
                module.client("dynamodb", endpoint_url=loopback.url).list_tables()
            daemon.wait_for(2)
        finally:
            trace.reset()


def test_boto3s_arguments_have_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order; one too many is a TypeError."""
    made = boto3.client("sns", "eu-west-1", None, True, None, "http://localhost:9", "AKIA", "secret")
    assert (made.meta.region_name, made.meta.endpoint_url) == ("eu-west-1", "http://localhost:9")
    with pytest.raises(TypeError, match="have a place"):
        boto3.client("sns", *range(10))


@pytest.mark.parametrize(
    ("arguments", "options", "asked"),
    [
        ((8080,), {}, (None, 8080)),
        ((), {"port": "8080"}, (None, 8080)),
        ((), {"port": 8080, "host": "0.0.0.0"}, ("0.0.0.0", 8080)),  # noqa: S104
        (("localhost", 8080), {}, ("localhost", 8080)),
        ((), {}, (None, None)),
    ],
)
def test_an_application_runs_on_a_port(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    asked: tuple[Any, Any],
) -> None:
    """The first argument is the port, as in Connexion."""
    asked_for: list[tuple[Any, Any]] = []
    monkeypatch.setattr("flask.Flask.run", lambda _self, host, port, **_: asked_for.append((host, port)))
    document = tmp_path / "openapi.yml"
    document.write_text("openapi: 3.0.3\ninfo: {title: a, version: '1'}\npaths: {}\n")
    app = get_connexion_app("tests.fleece.operations", str(document))

    app.run(*arguments, **options)

    assert isinstance(app, FleeceApp)
    assert asked_for == [asked]


class Shelf:
    @xray.trace_xray_subsegment()
    @staticmethod
    def still(amount: int) -> int:
        return amount

    @xray.trace_xray_subsegment(skip_args=True)
    @classmethod
    def of_class(cls, amount: int) -> tuple[type, int]:
        return cls, amount


def test_subsegments_stand_above_static_and_class_methods() -> None:
    """With and without an instance."""
    assert (Shelf.still(1), Shelf().still(2)) == (1, 2)
    assert Shelf.of_class(1) == (Shelf, 1) == Shelf().of_class(1)


def test_the_low_level_names_of_xray_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says, and documents sent by hand."""
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    with pytest.raises(xray.XRayDaemonNotFoundError):
        xray.get_xray_daemon()
    assert xray.get_trace_id() == (None, None, False)
    with UdpListener() as daemon:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", daemon.address)
        monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE)
        assert xray.get_trace_id() == ("1-5901e3bc-8da3814a5f3ccbc864b66ecc", "328f72132deac0ce", True)
        xray.send_subsegment_to_xray_daemon("ab" * 8, "cd" * 8, 1.0, 2.0, "work", extra_data={"error": False})
        daemon.wait_for(1)
        assert b'"name":"work"' in daemon.drain()[0]


def test_the_further_names_are_there() -> None:
    """Those that other modules of a project may import."""
    assert RESPONSE_CONTRACT_VIOLATION
    assert boto3.Config().retries is None
    assert requests.Retry(3).total == 3
    assert requests.HTTPAdapter()
    assert utils.fullmatch("a+", "aa")
    assert boto3.DEFAULT_READ_TIMEOUT is None
    assert (profiling.PROFILE_SAMPLE, profiling.DEFAULT_LIMIT) == (0.5, 20)
    assert LambdaEvent(body={"a": 1}).body == {"a": 1}
    assert sys.modules["carboy.fleece"].__version__ == "1.2.1"


def test_the_root_loggers_handlers_can_be_cleared(stream: io.StringIO) -> None:
    """All of them, as there."""
    kept = logging.root.handlers[:]
    log.clobber_root_handlers()
    assert logging.root.handlers == []
    logging.root.handlers[:] = kept
