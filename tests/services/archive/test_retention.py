"""Retention and erasure: exactly what is due goes, and what is held stays."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ended, operator, table, until

from carboy.services.archive import erasure, retention
from carboy.services.archive.destinations.replay import Range
from carboy.services.archive.erasure import erase, erase_refused, find, find_refused
from carboy.services.archive.maintenance import import_archive
from carboy.services.archive.refusals import RefusedRequests
from carboy.testing import Answer, LoopbackServer, ManualClock
from carboy.web import runtime

KEPT = '[default.archive.sources.it]\nverify = "none"\nid = "/id"\nkeep = "1d"\n'
FOREVER = '[default.archive.sources.other]\nverify = "none"\nid = "/id"\n'
HELD = '[default.archive.sources.held]\nverify = "none"\nid = "/id"\nkeep = "1d"\nhold = true\n'


def send(gateway: Gateway, source: str, event_id: str, **more: Any) -> None:
    answer = gateway.open("POST", f"/api/v1/webhooks/{source}?wait=20", json={"id": event_id, **more})
    assert answer.status_code == 200


def ids(gateway: Gateway, source: str) -> list[str]:
    path = f"/api/v1/webhooks/{source}?start=1970-01-02T00:00:00Z&end=2100-01-01T00:00:00Z"
    return [one["id"] for one in gateway.get(path).get_json()["webhooks"]]


@pytest.mark.slow
def test_what_is_past_its_age_goes_and_nothing_else(serve: Serve) -> None:
    """Objects, rows and deliveries; a delivery that waits ends as expired."""
    clock = ManualClock(sleep="waits")
    toml = KEPT + FOREVER + HELD + table("https://10.255.255.1/", 'sources = ["it"]')
    gateway = operator(serve(toml=toml, clock=clock))
    gateway.archive.destinations.pause("siem")
    for source in ("it", "other", "held"):
        send(gateway, source, "old")
    clock.advance(86_400 - 60)
    send(gateway, "it", "new")
    clock.advance(120)

    gateway.archive.upkeep.run()

    assert ids(gateway, "it") == ["new"]
    assert ids(gateway, "other") == ids(gateway, "held") == ["old"]
    assert not [key for key in gateway.kept("webhooks/it/") if key.endswith("/old")]
    assert [one["event"]["id"] for one in ended(gateway, "expired")()] == ["old"]
    assert [one["event"]["id"] for one in ended(gateway, "waiting")()] == ["new"]


@pytest.mark.slow
def test_killed_between_objects_and_rows_the_next_run_ends_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(sleep="waits")
    gateway = serve(toml=KEPT, clock=clock)
    for number in range(5):
        send(gateway, "it", f"e{number}")
    clock.advance(2 * 86_400)
    items = [one for number in range(3) for one in gateway.archive.index.versions("it", f"e{number}")]
    for item in items:
        gateway.archive.store.delete(item.object_key)

    gateway.archive.upkeep.run()

    assert ids(gateway, "it") == []
    assert gateway.kept("webhooks/it/") == []


@pytest.mark.slow
def test_the_events_of_a_person_are_erased_with_all_versions(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    gateway = serve(toml=FOREVER + HELD)
    send(gateway, "other", "a", email="ann@example.com")
    send(gateway, "other", "a", email="ann@example.com", n=2)
    send(gateway, "other", "b", email="bob@example.com")
    send(gateway, "held", "c", email="ann@example.com")
    chosen = Range(("other", "held"), 0, 1 << 42, "email == 'ann@example.com'")
    archive = gateway.archive

    found = find(archive.index, archive.store, chosen, lambda source: source == "held")
    assert sum(erase(archive.upkeep, found.items, "tester")) == 2

    assert found.held == {"held": 1}
    assert ids(gateway, "other") == ["b"]
    assert ids(gateway, "held") == ["c"]
    assert not [key for key in gateway.kept("webhooks/other/") if "/a" in key.rpartition("~")[0] or key.endswith("/a")]
    assert "ann@example.com" not in caplog.text
    with runtime(gateway.app).engine.connect() as connection:
        audited = connection.exec_driver_sql("SELECT who, action, object FROM carboy_audit").all()
    assert [tuple(row) for row in audited] == [("tester", "archive.erase", "other/a")]


@pytest.mark.slow
def test_an_erasure_that_is_killed_is_ended_by_a_job(serve: Serve) -> None:
    """Without their objects events cannot be found by what is in them: the job knows their rows."""
    clock = ManualClock(sleep="waits")
    toml = FOREVER + table("https://10.255.255.1/", 'sources = ["other"]')
    gateway = operator(serve(toml=toml, clock=clock))
    gateway.archive.destinations.pause("siem")
    for event_id in ("a", "b", "c"):
        send(gateway, "other", event_id, email="ann@example.com")
    send(gateway, "other", "z", email="bob@example.com")
    archive = gateway.archive
    found = find(
        archive.index, archive.store, Range(("other",), 0, 1 << 42, "email == 'ann@example.com'"), lambda source: False
    )
    archive.upkeep.plan_erasing([found.items], "tester")
    archive.store.delete(found.items[0].object_key)  # it is killed here
    send(gateway, "other", "c", email="carol@example.com")  # another version, which came since

    clock.advance(61)

    until(lambda: ids(gateway, "other") == ["z", "c"])
    until(lambda: len(gateway.kept("webhooks/other/")) == 2)
    left = {one["event"]["id"] for one in ended(gateway, "waiting")()}
    assert left == {"z", "c"}


def _erase_a_batch(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begin to erase five events in batches of two, and stop after the first."""
    monkeypatch.setattr(erasure, "_AT_ONCE", 2)
    for number in range(5):
        send(gateway, "other", f"e{number}", email="ann@example.com")
    send(gateway, "other", "z", email="bob@example.com")
    archive = gateway.archive
    chosen = Range(("other",), 0, 1 << 42, "email == 'ann@example.com'")
    found = find(archive.index, archive.store, chosen, lambda source: False)
    erasing = erase(archive.upkeep, found.items, "tester")
    assert next(erasing) == 2
    assert len(ids(gateway, "other")) == 4
    return erasing


@pytest.mark.slow
def test_the_batches_that_a_killed_erasure_leaves_are_erased_by_jobs(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was killed before it had begun with them; the audit log has each event once."""
    clock = ManualClock(sleep="waits")
    gateway = operator(serve(toml=FOREVER, clock=clock))
    erasing = _erase_a_batch(gateway, monkeypatch)  # and no further: it is killed here

    clock.advance(70)

    until(lambda: ids(gateway, "other") == ["z"])
    until(lambda: len(gateway.kept("webhooks/other/")) == 1)
    with runtime(gateway.app).engine.connect() as connection:
        audited = connection.exec_driver_sql("SELECT who, object FROM carboy_audit").all()
    assert sorted(map(tuple, audited)) == [("tester", f"other/e{number}") for number in range(5)]
    erasing.close()


@pytest.mark.slow
def test_an_erasure_that_is_interrupted_by_hand_leaves_the_rest(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(sleep="waits")
    gateway = operator(serve(toml=FOREVER, clock=clock))
    erasing = _erase_a_batch(gateway, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        erasing.throw(KeyboardInterrupt)

    clock.advance(70)

    gateway.wait_until_idle()
    assert len(ids(gateway, "other")) == 4


def test_what_a_hold_keeps_since_an_erasure_was_killed_stays(serve: Serve) -> None:
    gateway = operator(serve(toml=HELD))
    send(gateway, "held", "a")
    [item] = gateway.archive.index.versions("held", "a")

    gateway.archive.upkeep.finish_erasing("held", [item.id], ["a"], [item.object_key], "tester")

    assert ids(gateway, "held") == ["a"]
    assert gateway.kept("webhooks/held/")


@pytest.mark.slow
def test_a_delivery_that_waits_for_long_is_reported_each_minute(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing reads metrics; one that is paused by hand is not late."""
    clock = ManualClock(sleep="waits")
    with LoopbackServer(Answer(500)) as down:
        toml = FOREVER + table(down.url, 'retry = ["0s", "10h"]') + table(down.url, name="paused")
        gateway = operator(serve(toml=toml, clock=clock))
        gateway.post("/api/v1/destinations/paused/pause")
        send(gateway, "other", "a")
        until(lambda: [one for one in ended(gateway, "waiting")() if one["attempts_made"] == 1])
        gateway.archive.upkeep.run()
        assert "deliveries_late" not in capfd.readouterr().err
        clock.advance(901)

        gateway.archive.upkeep.run()

        lines = [line for line in "".join(capfd.readouterr()).splitlines() if "deliveries_late" in line]
        assert {json.loads(line)["destination"] for line in lines} == {"siem"}
        assert {json.loads(line)["oldest_s"] for line in lines} == {901}


def test_upkeep_begins_with_a_process_though_no_webhook_comes(serve: Serve) -> None:
    clock = ManualClock(sleep="waits")
    gateway = serve(toml=KEPT, clock=clock)
    for begin in runtime(gateway.app).at_start:
        begin()

    until(lambda: [job.kind for job in runtime(gateway.app).jobs.store.list(limit=9)] == ["archive.upkeep"])


@pytest.mark.slow
def test_much_that_is_due_goes_in_batches_over_several_jobs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that ends in time enqueues the next; what is kept longer stays."""
    clock = ManualClock(sleep="waits")
    gateway = serve(toml=KEPT, clock=clock)
    monkeypatch.setattr(retention, "_AT_ONCE", 3)
    monkeypatch.setattr(retention, "_RUN_S", 0.0)
    monkeypatch.setattr(retention, "_REST", 0.0)  # the clock may move in the middle of a batch
    for number in range(10):
        send(gateway, "it", f"e{number}")
    clock.advance(86_400 + 1)
    send(gateway, "it", "new")

    gateway.archive.upkeep.run()
    assert len(ids(gateway, "it")) == 11, "there was no time"
    monkeypatch.setattr(retention, "_RUN_S", 20.0)
    clock.advance(60)
    send(gateway, "it", "newer")

    until(lambda: ids(gateway, "it") == ["new", "newer"])


def test_lists_take_type_id_and_filter(serve: Serve) -> None:
    gateway = serve(toml=FOREVER + 'events = "/kind"\n')
    for event_id, kind in (("x1", "push"), ("x2", "pull"), ("y1", "push")):
        send(gateway, "other", event_id, kind=kind)
    path = "/api/v1/webhooks/other?start=1970-01-02T00:00:00Z&end=2100-01-01T00:00:00Z"

    def listed(more: str) -> list[str]:
        return [one["id"] for one in gateway.get(path + more).get_json()["webhooks"]]

    assert listed("&type=push") == ["x1", "y1"]
    assert listed("&id=x") == ["x1", "x2"]
    assert listed("&filter=kind%20%3D%3D%20'pull'") == ["x2"]
    assert gateway.get(f"{path}&filter=a%20%3D").status_code == 422


def test_a_range_can_be_archived_again(serve: Serve, tmp_path: Path) -> None:
    gateway = serve(toml=FOREVER)
    send(gateway, "other", "a")
    body = {"from": "1970-01-02T00:00:00Z", "until": "2100-01-01T00:00:00Z"}

    answer = gateway.post("/api/v1/webhooks/other/replay", json=body)

    assert (answer.status_code, answer.get_json()["events"]) == (202, 1)
    assert gateway.post("/api/v1/webhooks/nope/replay", json=body).status_code == 404
    assert gateway.post("/api/v1/webhooks/other/replay", json={"from": "x", "until": "y"}).status_code == 422


@pytest.mark.slow
def test_what_was_imported_past_its_age_goes_at_the_next_run(serve: Serve, tmp_path: Path) -> None:
    """Though all that was received before it was looked at already."""
    now = ManualClock(sleep="waits")
    past = ManualClock(now.now_ms() - 3 * 86_400_000, sleep="waits")
    old = serve(toml=KEPT, clock=past, archive_url="memory://", database_url=f"sqlite:///{tmp_path}/old.db")
    send(old, "it", "old")
    gateway = serve(toml=KEPT, clock=now)
    send(gateway, "it", "new")
    gateway.archive.upkeep.run()
    held = runtime(gateway.app)
    row = old.archive.index.versions("it", "old")[0]
    taken = [one.outcome for one in import_archive(old.archive.store, gateway.archive.store, held.writer, now)]
    assert taken == ["taken"]
    assert gateway.archive.index.versions("it", "old")[0].received_at_ms == row.received_at_ms

    gateway.archive.upkeep.run()

    assert ids(gateway, "it") == ["new"]
    assert [key for key in gateway.kept() if key.endswith("/old")] == []


@pytest.mark.slow
def test_a_version_that_was_replaced_is_found_too(serve: Serve) -> None:
    """A person stands in the first of three versions, and in the second of another event: both go, all versions."""
    gateway = serve(toml=FOREVER + HELD)
    for source in ("other", "held"):
        send(gateway, source, "a", email="ann@example.com")
        send(gateway, source, "a", email="redacted", n=2)
        send(gateway, source, "a", email="redacted", n=3)
    send(gateway, "other", "b", email="redacted")
    send(gateway, "other", "b", email="ann@example.com")
    send(gateway, "other", "c", email="redacted")
    archive = gateway.archive
    chosen = Range(("other", "held"), 0, 1 << 42, "email == 'ann@example.com'")

    found = find(archive.index, archive.store, chosen, lambda source: source == "held")
    assert sum(erase(archive.upkeep, found.items, "tester")) == 5

    assert found.held == {"held": 1}
    assert ids(gateway, "other") == ["c"]
    assert len(gateway.kept("webhooks/other/")) == 1
    assert len(gateway.kept("webhooks/held/")) == 3


@pytest.mark.slow
def test_a_delivery_that_a_replay_adds_during_an_erasure_goes_too(serve: Serve) -> None:
    """The replay had read the events before they were erased, and commits afterwards."""
    clock = ManualClock(sleep="waits")
    gateway = operator(serve(toml=FOREVER + table("https://10.255.255.1/", 'sources = ["other"]'), clock=clock))
    gateway.archive.destinations.pause("siem")
    for event_id in ("a", "z"):
        send(gateway, "other", event_id, email=f"{event_id}@example.com")
    archive = gateway.archive
    chosen = Range(("other",), 0, 1 << 42, "email == 'a@example.com'")
    replayed = archive.destinations.replayer.run("siem", "other", 0, 1 << 42, "", -1, 0)
    assert replayed is not None

    found = find(archive.index, archive.store, chosen, lambda source: False)
    assert sum(erase(archive.upkeep, found.items, "tester")) == 1
    runtime(gateway.app).writer.run(replayed.apply, replayed.item)
    assert len(ended(gateway, "waiting")()) == 3

    clock.advance(61)
    until(lambda: {one["event"]["id"] for one in ended(gateway, "waiting")()} == {"z"})
    assert len(ended(gateway, "waiting")()) == 2


@pytest.mark.slow
def test_a_range_that_goes_while_it_is_replayed_ends_as_expired(serve: Serve) -> None:
    """The replay had read the events before retention deleted them; the next page finds the rest."""
    with LoopbackServer(Answer()) as receiver:
        gateway = operator(serve(toml=FOREVER + table(receiver.url, 'sources = ["other"]')))
        for event_id in ("a", "b"):
            send(gateway, "other", event_id)
        until(lambda: len(ended(gateway)()) == 2)
        archive = gateway.archive
        replayed = archive.destinations.replayer.run("siem", "other", 0, 1 << 42, "", -1, 0)
        assert replayed is not None

        archive.upkeep.delete(archive.index.versions("other", "a"), "keep")
        runtime(gateway.app).writer.run(replayed.apply, replayed.item)
        runtime(gateway.app).jobs.notify()

        until(lambda: [one["event"]["id"] for one in ended(gateway, "expired")()] == ["a"])
        until(lambda: [one["event"]["id"] for one in ended(gateway)()] == ["b", "b"])
        assert len(receiver.requests) == 3
        assert gateway.get("/api/v1/destinations/siem").get_json()["state"] == "active"


def test_a_refused_request_with_a_kept_body_is_found_and_erased(serve: Serve) -> None:
    """By what is in it, of its source and time; one that is held, or has no body, stays."""
    kept = 'verify = "hmac"\nheader = "X-Sig"\nsecrets = ["%s"]\nid = "/id"\n' % ("s" * 32)
    names = {"it": "keep_refused = true\n", "held": "keep_refused = true\nhold = true\n", "bare": ""}
    gateway = serve(toml="".join(f"[default.archive.sources.{name}]\n{kept}{more}" for name, more in names.items()))
    for name in names:
        for who in ("ann", "bob"):
            answer = gateway.open("POST", f"/api/v1/webhooks/{name}", json={"email": f"{who}@example.com"})
            assert answer.status_code == 403
    refused = RefusedRequests(runtime(gateway.app))
    chosen = Range(tuple(names), 0, 1 << 42, "email == 'ann@example.com'")

    found = find_refused(refused, chosen, lambda source: source == "held")
    assert find_refused(refused, Range(("bare",), 0, 1 << 42, "email"), lambda source: False) == []
    assert find_refused(refused, Range(("it",), 0, 1, "email"), lambda source: False) == []
    erase_refused(refused, found, "tester", runtime(gateway.app).clock)

    assert [(one.source, b"ann" in one.body) for one in found if one.body] == [("it", True)]
    left = [(one.source, one.body is not None and b"ann" in one.body) for one in refused.newest()]
    assert sorted(left) == [("bare", False), ("bare", False), ("held", False), ("held", True), ("it", False)]
    with runtime(gateway.app).engine.connect() as connection:
        audited = connection.exec_driver_sql("SELECT who, action, object FROM carboy_audit").all()
    assert [tuple(row) for row in audited] == [("tester", "archive.erase", f"it/refused/{found[0].id}")]
