"""SIGTERM while requests and jobs are under way: no client is cut, nothing is lost, the stop is in time."""

import random
import threading

import pytest
from tests.journeys.kit import Gateway, until
from tests.journeys.zygote import eventually
from tests.lab.load import LoadReport
from tests.lab.threat_stack import ThreatStackProcess

pytestmark = pytest.mark.journey

RUNNING = "SELECT count(*) FROM carboy_jobs WHERE state = 'running'"


def test_a_stop_under_load_cuts_no_client_and_loses_nothing(gateway: Gateway) -> None:
    """Exit code 0, every accepted request answered, no row leased by a dead worker."""
    for _ in range(3):
        with gateway.serve() as server:
            is_over = threading.Event()
            reports: list[LoadReport] = []

            def send(url: str = server.url, over: threading.Event = is_over, to: list[LoadReport] = reports) -> None:
                to.append(gateway.load(url, until(over, gateway.mixed_calls())))

            sender = threading.Thread(target=send)
            sender.start()
            least = len(gateway.rows("SELECT id FROM archive_items")) + random.randrange(20, 80)
            eventually(
                lambda least=least: len(gateway.rows("SELECT id FROM archive_items")) > least,  # type: ignore[misc]
                "alerts come in",
            )
            code = server.stop()
            is_over.set()
            sender.join()
        assert code == 0
        assert reports[0].errors.keys() <= {"ConnectionRefusedError"}
        assert gateway.rows(RUNNING) == [(0,)]
    gateway.finish()
    assert gateway.statuses == {202}


def test_a_stop_does_not_wait_for_an_api_that_hangs(gateway: Gateway, source: ThreatStackProcess) -> None:
    """After `JOBS_DRAIN_S` the jobs are given back, and the next process does them."""
    source.tell(fault="stall")
    with gateway.serve(FLASK_THREATSTACK_TIMEOUT_S="50", FLASK_JOBS_DRAIN_S="0.5") as server:
        gateway.load(server.url, gateway.calls(20))
        eventually(lambda: source.report()["statuses"].get("stall", 0) >= 8, "every worker hangs")
        assert server.stop(timeout_s=40) == 0
    assert gateway.rows(RUNNING) == [(0,)]
    source.tell(fault=None)
    gateway.finish()
    assert len(gateway.accepted) == 20
