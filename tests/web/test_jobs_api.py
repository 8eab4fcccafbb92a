"""What could not be done is seen and tried again."""

from typing import Any

import pytest

from carboy.errors import ConfigurationError
from carboy.jobs import engine_class, enqueue, job
from carboy.testing.clock import ManualClock
from carboy.web import runtime


@job("mail.welcome", attempts=1)
def send_welcome(address: str) -> None:
    if address == "bad":
        raise RuntimeError("no such mailbox")


@job("mail.farewell")
def send_farewell(address: str) -> None:
    raise RuntimeError(address)


@pytest.fixture
def app(make_app: Any) -> Any:
    made = make_app(brings={"jobs": [send_welcome, send_farewell]}, auth="off", clock=ManualClock())
    with runtime(made).engine.begin() as connection:
        for number in range(5):
            enqueue(send_welcome, f"user-{number}@example.com", session=connection)
        enqueue(send_farewell, "x", session=connection)
        connection.exec_driver_sql(
            "UPDATE carboy_jobs SET state = 'dead', error = 'no such mailbox', attempts = 1, "
            "finished_at = 1700000000000 "
            "WHERE id IN (SELECT id FROM carboy_jobs WHERE kind = 'mail.welcome' ORDER BY id LIMIT 3)"
        )
        connection.exec_driver_sql(
            "UPDATE carboy_jobs SET state = 'done' "
            "WHERE id IN (SELECT max(id) FROM carboy_jobs WHERE kind = 'mail.welcome')"
        )
    return made


def _ids(answer: Any) -> list[str]:
    return [one["id"] for one in answer.json["jobs"]]


def test_dead_jobs_are_listed_with_their_error(app: Any) -> None:
    """When, what and why; not the arguments, which may be about a person."""
    answer = app.test_client().get("/api/jobs?state=dead")

    assert answer.status_code == 200
    assert len(answer.json["jobs"]) == 3
    one = answer.json["jobs"][0]
    assert (one["kind"], one["state"], one["error"], one["attempts"]) == ("mail.welcome", "dead", "no such mailbox", 1)
    assert one["finished_at"] == "2023-11-14T22:13:20.000Z"
    assert "example.com" not in answer.text


def test_jobs_are_listed_by_pages_the_newest_first(app: Any) -> None:
    """Each once, and the last page says that it is."""
    client = app.test_client()
    seen: list[str] = []
    cursor = ""
    while True:
        answer = client.get(f"/api/jobs?limit=4{cursor}")
        seen += _ids(answer)
        if answer.json["next"] is None:
            break
        cursor = f"&cursor={answer.json['next']}"

    assert seen == sorted(set(seen), key=int, reverse=True)
    assert len(seen) == 6


def test_jobs_are_listed_by_kind(app: Any) -> None:
    """And by none that there is not."""
    client = app.test_client()

    assert len(_ids(client.get("/api/jobs?kind=mail.farewell"))) == 1
    assert _ids(client.get("/api/jobs?kind=nothing")) == []


@pytest.mark.parametrize(
    "query", ["state=gone", "limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=-1", "kind=", "what=1"]
)
def test_a_wrong_question_is_a_422(app: Any, query: str) -> None:
    """With what is wrong."""
    answer = app.test_client().get(f"/api/jobs?{query}")

    assert answer.status_code == 422
    assert answer.json["errors"]


def test_a_dead_job_is_tried_again(app: Any) -> None:
    """With all its tries before it."""
    client = app.test_client()
    [job_id, *_] = _ids(client.get("/api/jobs?state=dead"))

    answer = client.post(f"/api/jobs/{job_id}/retry")

    assert answer.status_code == 200
    assert (answer.json["job"]["state"], answer.json["job"]["attempts"]) == ("queued", 0)
    assert client.get(f"/api/jobs/{job_id}").json["job"]["state"] == "queued"


def test_a_job_that_is_done_is_not_done_again(app: Any) -> None:
    """409."""
    client = app.test_client()
    [job_id] = _ids(client.get("/api/jobs?state=done"))

    assert client.post(f"/api/jobs/{job_id}/retry").status_code == 409


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/jobs/1"), ("POST", "/api/jobs/1/retry")])
def test_a_job_that_is_not_there_is_a_404(app: Any, method: str, path: str) -> None:
    """Also one of an id that no job can have."""
    client = app.test_client()

    assert client.open(path, method=method).status_code == 404
    assert client.open(path.replace("1", "9" * 19), method=method).status_code == 404
    assert client.open(path.replace("1", "9" * 30), method=method).status_code in {404, 422}
    assert client.open(path.replace("1", "x"), method=method).status_code in {404, 422}


def test_all_of_a_kind_are_tried_again(app: Any) -> None:
    """Those of other kinds are let be."""
    client = app.test_client()

    assert client.post("/api/jobs/retry?kind=nothing&state=dead").json == {"success": True, "retried": 0}
    assert client.post("/api/jobs/retry?kind=mail.welcome").json == {"success": True, "retried": 3}
    assert _ids(client.get("/api/jobs?state=dead")) == []


def test_jobs_are_counted(app: Any) -> None:
    """By kind and state, with the age of the oldest."""
    told = app.test_client().get("/metrics").text

    assert 'carboy_jobs{kind="mail.welcome",state="dead"} 3' in told
    assert 'carboy_jobs{kind="mail.farewell",state="queued"} 1' in told
    assert 'carboy_job_oldest_seconds{kind="mail.farewell",state="queued"} 0' in told


def test_the_engine_runs_what_the_modules_bring(make_app: Any) -> None:
    """It is made once, counts what it does, and `/readyz` knows whether it should run and does not."""
    app = make_app(brings={"jobs": [send_welcome]}, auth="off")
    held = runtime(app)
    client = app.test_client()
    engine = held.jobs.engine
    assert engine is held.jobs.engine
    assert engine is not None
    assert client.get("/readyz").status_code == 503
    engine.start()
    assert client.get("/readyz").status_code == 200
    with held.engine.begin() as connection:
        enqueue(send_welcome, "bad", session=connection)
    held.jobs.notify()

    for _ in range(2000):
        if held.jobs.store.list(state="dead"):
            break
        held.clock.sleep(0.01)

    engine.stop()
    assert 'carboy_job_runs_total{kind="mail.welcome",outcome="dead"} 1' in client.get("/metrics").text
    assert "job engine" in client.get("/readyz").json["detail"]


def test_an_application_without_jobs_needs_no_engine(make_app: Any) -> None:
    """There is nothing to do."""
    assert runtime(make_app()).jobs.engine is None


def test_an_engine_that_is_not_there_is_said_at_once() -> None:
    """With those that are."""
    with pytest.raises(ConfigurationError, match="`embedded`"):
        engine_class("rq")


def test_an_engine_without_its_settings_stops_the_start(make_app: Any) -> None:
    """And not the first request that adds a job."""
    with pytest.raises(ConfigurationError) as caught:
        make_app(brings={"jobs": [send_welcome]}, jobs_engine="celery")

    assert [fault.pointer for fault in caught.value.faults] == ["JOBS_BROKER_URL"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_retrying_all_is_no_job_of_that_name(app: Any, method: str) -> None:
    """A concrete path takes precedence over a templated one, for any method."""
    answer = app.test_client().open("/api/jobs/retry", method=method)

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
