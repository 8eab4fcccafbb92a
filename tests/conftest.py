"""Servers and stand-ins for all tests: real ones once per session, started when the first test asks for them."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Generator, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import pytest_timeout
from hypothesis import HealthCheck, settings
from tests.lab.threat_stack import ThreatStack
from werkzeug.routing import Rule

from carboy import logs, trace
from carboy.redact import forget_secrets
from carboy.testing import ports
from carboy.testing.http_server import LoopbackServer
from carboy.testing.processes import (
    AwsServer,
    BrokerServer,
    DatabaseServer,
    mariadb,
    moto_server,
    postgres,
    rabbitmq,
    redis,
    require,
    seaweedfs,
)

# a shell that runs the suite in the background has it, and every process it starts, ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")

# Fixtures that start a server, a browser or a process, what parameters call them, folders whose tests start such by
# themselves, and modules that start processes.
_SERVERS = frozenset({"seaweed", "moto", "mariadb_server", "postgres_server", "redis_server", "rabbitmq_server"})
_STARTING = _SERVERS | {"database_server", "browser", "carboy"}
_PARAMETERS = _STARTING | {"seaweedfs", "sqs", *(name.removesuffix("_server") for name in _SERVERS)}
_PROCESSES = frozenset({"deploy", "distribution", "examples", "hostile", "journeys", "scaffold", "scale"})
_LONG = _PROCESSES - {"hostile"} | {"docs", "console", "cli", "testing"}  # latencies are compared beside quieter tests
_STARTERS = ("subprocess", "multiprocessing", "carboy.testing.processes", "tests.journeys.zygote")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make unit` leaves out, and begin with what takes longest: no worker waits at the end."""
    items.sort(key=lambda item: item.path.relative_to(item.config.rootpath / "tests").parts[0] not in _LONG)
    starts = cache(_starts_processes)
    for item in items:
        folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
        if folder in _PROCESSES or _asks_for_a_server(item) or starts(getattr(item, "module", None)):
            item.add_marker(pytest.mark.server)


def pytest_collection_finish() -> None:
    """Leave thousands of tests out of each garbage collection, which would take half a second."""
    gc.collect()
    gc.freeze()


def _asks_for_a_server(item: pytest.Item) -> bool:
    """Return whether a test has a fixture that starts something, or a parameter that names one."""
    call = getattr(item, "callspec", None)
    named = (value for value in (call.params.values() if call else ()) if isinstance(value, str))
    return not _STARTING.isdisjoint(getattr(item, "fixturenames", ())) or not _PARAMETERS.isdisjoint(named)


def _starts_processes(module: ModuleType | None) -> bool:
    """Return whether a test module imports something that starts processes."""
    values = vars(module).values() if module is not None else ()
    names = (getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in values)
    return any(str(name).startswith(_STARTERS) for name in names)


def pytest_configure(config: pytest.Config) -> None:
    """Fail a test without the mark that starts a process after all."""
    if "not server" in config.option.markexpr:
        sys.addaudithook(_refuse_processes)


def _refuse_processes(event: str, _: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and "PYTEST_CURRENT_TEST" in os.environ:
        pytest.fail("this test starts a process: mark it `server`")


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Fail a test without the mark that starts a server after all."""
    if fixturedef.argname in _SERVERS and "not server" in request.config.option.markexpr:
        pytest.fail("this test starts a server: mark it `server`")


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Start the timeout again after a failure: pytest-timeout ends it there, and what follows may hang."""
    if isinstance(node, pytest.Item) and not node.config.getoption("usepdb"):
        own = node.get_closest_marker("timeout")
        seconds = own.args[0] if own else node.config.getoption("timeout") or float(node.config.getini("timeout"))
        limit = pytest_timeout.Settings(seconds, "signal", func_only=False, disable_debugger_detection=False)
        node.ihook.pytest_timeout_set_timer(item=node, settings=limit)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape lone surrogates of generated values, which a report cannot carry from a worker to the main process."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_encodable, value))
    return value


@pytest.fixture(scope="session", autouse=True)
def _url_builders() -> Iterator[None]:
    """Compile the URLs of equal rules once: thousands of tests make an application with the same routes."""
    compile_builder, made = Rule._compile_builder, {}

    def compile_once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, append_unknown, tuple(rule._trace))
        if rule.defaults:
            return compile_builder(rule, append_unknown)
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_once)
        yield


@pytest.fixture(scope="session")
def seaweed() -> Iterator[AwsServer]:
    """A real object store; each test makes buckets of its own."""
    with require(seaweedfs) as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[AwsServer]:
    """What stands for AWS; a test that counts calls or makes fixed names calls `moto.reset()` first."""
    with require(moto_server) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[DatabaseServer]:
    """MariaDB with TLS; each test makes a database of its own."""
    with require(mariadb, tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[DatabaseServer]:
    """PostgreSQL with TLS; each test makes a database of its own."""
    with require(postgres, tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[BrokerServer]:
    """Redis, which forgets all when it is restarted."""
    with require(redis) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[BrokerServer]:
    """RabbitMQ."""
    with require(rabbitmq) as server:
        yield server


@pytest.fixture
def threat_stack() -> Iterator[ThreatStack]:
    """A stand-in for the Threat Stack API in this process."""
    with ThreatStack() as server:
        yield server


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """A server that answers 200 until the test scripts it."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def free_port() -> int:
    """A port that nothing uses."""
    return ports.free_port()


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Take back what a test's `.env` files have put into the environment, so that no other test meets it."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before) - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _own_logs_and_traces() -> Iterator[None]:
    """Undo what an application has set up for the whole process and a test has left."""
    traced, handlers, session = trace.active_tracer(), list(logging.root.handlers), _default_session()
    yield
    if trace.active_tracer() is not traced:
        trace.reset()
    if logging.root.handlers != handlers:
        logs.reset()
    if _default_session() is not session:
        sys.modules["boto3"].DEFAULT_SESSION = session  # type: ignore[attr-defined]


def _default_session() -> object:
    return getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)


@pytest.fixture(autouse=True)
def _strangers_secrets() -> Iterator[None]:
    """Forget what a test's settings and caches had masked, so that no other test meets it."""
    yield
    forget_secrets()
