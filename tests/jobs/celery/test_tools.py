"""Celery's own tools and `carboy` report the same."""

import json
from http.client import HTTPConnection
from typing import Any

import pytest
from kombu.pools import reset as reset_pools
from tests.jobs.celery.kit import Yard
from tests.jobs.celery.shop_app import bulk, fails
from tests.journeys.zygote import eventually

from carboy.testing.ports import free_port


def _said(yard: Yard, *words: str) -> Any:
    process = yard.run(*words)
    assert process.end() == 0, process.said
    return process.said


@pytest.mark.parametrize("any_yard", ["redis", "rabbitmq"], indirect=True)  # Celery asks no worker through SQS
def test_inspect_flower_and_carboy_agree(any_yard: Yard) -> None:
    """Which jobs there are, which run, and how they ended."""
    yard = any_yard
    port = free_port()
    worker = yard.work("celery", "-A", "carboy.celery_app", "worker", "-E")
    celery = ("celery", "-A", "carboy.celery_app")
    flower = yard.run(*celery, "flower", "--address=127.0.0.1", f"--port={port}", FLOWER_UNAUTHENTICATED_API="true")

    def tasks() -> set[tuple[str, str, str]]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/api/tasks")
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            return set()
        finally:
            connection.close()
        assert answer.status == 200, flower.said[-2000:]
        return {(one["name"], one["state"], uuid.partition("-")[0]) for uuid, one in json.loads(body).items()}

    def is_heard() -> bool:
        yard.wait_for(yard.add(bulk, "probe"), "done")
        return bool(tasks())

    flower.wait_for("Connected to")
    eventually(is_heard, "Flower listens")
    done, failed = yard.add(bulk, "done"), yard.add(fails, "failed")
    yard.wait_for(done, "done")
    yard.wait_for(failed, "dead")
    heard = {
        ("mail.bulk", "SUCCESS", done.id),
        ("shop.fails", "RETRY", failed.id),
        ("shop.fails", "FAILURE", failed.id),
    }
    eventually(lambda: tasks() >= heard, "Flower has heard")

    running = yard.add(bulk, "running", 30.0)
    eventually(lambda: "running" in yard.ran(), "one runs")
    inspect = yard.celery.celery.control.inspect(timeout=20, limit=1)
    [actives] = inspect.active().values()
    [active] = [one for one in actives if one["id"].startswith(running.id)]
    assert (active["name"], active["args"]) == ("mail.bulk", [int(running.id)])
    reset_pools()  # type: ignore[no-untyped-call]  # those through which this process asked
    registered = json.loads(_said(yard, *celery, "inspect", "--json", "-t", "10", "registered"))
    assert [sorted(kinds) for kinds in registered.values()] == [sorted(yard.kinds)]

    listed = json.loads(_said(yard, "jobs", "list", "--json"))
    states = {row["id"]: row["state"] for row in listed}
    assert (states[done.id], states[failed.id], states[running.id]) == ("done", "dead", "running")
    worker.kill()


def test_doctor_says_that_the_broker_is_away(yard: Yard) -> None:
    """And what to do about it; the command fails."""
    process = yard.run("doctor", "--json", JOBS_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")

    assert process.end() == 4
    [finding] = [one for one in json.loads(process.said)["checks"] if one["name"] == "job engine"]
    assert not finding["ok"]
    assert "unavailable" in finding["detail"]
    assert "JOBS_BROKER_URL" in finding["hint"]
