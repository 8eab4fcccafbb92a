"""Fixtures that `tests/journeys` and `tests/scale` share: a gateway in processes of its own."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.journeys.kit import Gateway, folder_objects
from tests.journeys.zygote import Zygote
from tests.lab.threat_stack import ThreatStackProcess, threat_stack_process


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """The parent of quick processes."""
    with Zygote() as made:
        yield made


@pytest.fixture
def source() -> Iterator[ThreatStackProcess]:
    """A Threat Stack API that takes 5 ms an answer."""
    with threat_stack_process("--latency-ms", "5") as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path, zygote: Zygote, source: ThreatStackProcess) -> Iterator[Gateway]:
    """A gateway in an empty folder that archives into a folder."""
    environ = {
        "FLASK_AUTH": "off",
        "FLASK_RATE_LIMIT": "off",
        "FLASK_LOG_LEVEL": "WARNING",
        "FLASK_JOBS_LEASE_S": "3",
        "FLASK_JOBS_POLL_S": "0.1",
        "FLASK_THREATSTACK_API_KEY": "test-api-key",
        "FLASK_THREATSTACK_BASE_URL": source.base_url,
        "FLASK_THREATSTACK_RATE": "off",
        "FLASK_THREATSTACK_TIMEOUT_S": "1",
    }
    made = Gateway(tmp_path, zygote, environ, lambda: folder_objects(tmp_path / "instance" / "archive"))
    yield made
    for process in made.processes:
        process.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of a failed journey's logs."""
    report = yield
    gateway = getattr(item, "funcargs", {}).get("gateway")
    if report.failed and report.when != "teardown" and isinstance(gateway, Gateway):  # by then they are removed
        report.sections += [(f"log {number}", log()[-3000:]) for number, log in enumerate(gateway.logs)][-4:]
    return report
