"""A destination that is removed from the settings while deliveries wait: it is listed, reported once, and ended."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.services.archive.kit import Gateway, Serve
from tests.services.archive.test_destinations import ended, operator, table, until
from tests.services.archive.test_retention import FOREVER, send

from carboy.services.archive.destinations.events import Event
from carboy.testing import Answer, LoopbackServer, ManualClock
from carboy.web import runtime

PATH = "/api/v1/destinations/siem"


@contextmanager
def removed(
    serve: Serve, clock: ManualClock, rest: str = "", **settings: str
) -> Iterator[tuple[Gateway, LoopbackServer, str]]:
    """Give a gateway without the destination for which a delivery waits, its receiver, and its table."""
    steps = iter([Answer(500)])
    with LoopbackServer(lambda _: next(steps, Answer(200))) as receiver:
        toml = FOREVER + table(receiver.url, 'retry = ["0s", "1h"]')
        before = operator(serve(toml=toml, clock=clock, **settings))
        send(before, "other", "a")
        until(lambda: [one for one in ended(before, "waiting")() if one["attempts_made"] == 1])
        runtime(before.app).close()
        yield operator(serve(toml=FOREVER + rest, clock=clock, **settings)), receiver, toml


def lines(capfd: pytest.CaptureFixture[str], event: str) -> list[dict[str, object]]:
    found = "".join(capfd.readouterr()).splitlines()
    return [json.loads(line) for line in found if f'"{event}"' in line]


@pytest.mark.slow
def test_it_is_listed_as_removed_while_deliveries_wait(serve: Serve) -> None:
    with removed(serve, ManualClock(sleep="waits")) as (gateway, _, _):
        [listed] = gateway.get("/api/v1/destinations").get_json()["destinations"]
        assert (listed["name"], listed["state"], listed["waiting"], listed["kind"]) == ("siem", "removed", 1, None)
        assert gateway.get(PATH).get_json()["reason"] == "its table is no longer in the settings"
        [delivery] = gateway.get(f"{PATH}/deliveries").get_json()["deliveries"]
        assert (delivery["state"], delivery["next_try"]) == ("waiting", None)

        for action in ("pause", "resume", "retry", "test"):
            answer = gateway.post(f"{PATH}/{action}")
            assert answer.status_code == 404
            assert "no longer in the settings" in answer.get_json()["detail"]
        assert gateway.post(f"/api/v1/deliveries/{delivery['id']}/retry").status_code == 404
        assert gateway.get("/api/v1/destinations/never").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", table("https://10.255.255.1/", name="other")])
def test_it_is_reported_once_and_never_as_late(serve: Serve, capfd: pytest.CaptureFixture[str], rest: str) -> None:
    """By whichever process looks first, and not again after a restart; no job is queued for it either."""
    clock = ManualClock(sleep="waits")
    with removed(serve, clock, rest) as (gateway, _, _):
        capfd.readouterr()
        clock.advance(7200)
        for _ in range(3):
            gateway.archive.upkeep.run()
            clock.advance(60)
        again = operator(serve(toml=FOREVER + rest, clock=clock))
        again.archive.upkeep.run()

        out = lines(capfd, "destination_removed")
        assert [(one["destination"], one["alarm"]) for one in out] == [("siem", True)]
        assert "drop siem" in str(out[0]["hint"])
        jobs = runtime(gateway.app).jobs.store.list(kind="archive.deliver", limit=9)
        assert not [one for one in jobs if one.created_at > clock.now_ms() - 7200_000]
        assert gateway.get("/api/v1/destinations").get_json()["destinations"][-1]["state"] == "removed"


@pytest.mark.slow
def test_one_that_is_not_enabled_is_neither_late_nor_removed(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock(sleep="waits")
    with removed(serve, clock, table("https://10.255.255.1/", "enabled = false")) as (gateway, _, _):
        capfd.readouterr()
        clock.advance(7200)
        gateway.archive.upkeep.run()

        logged = "".join(capfd.readouterr())
        assert "deliveries_late" not in logged
        assert "destination_removed" not in logged
        jobs = runtime(gateway.app).jobs.store.list(kind="archive.deliver", limit=9)
        assert not [one for one in jobs if one.created_at > clock.now_ms() - 60_000]
        assert gateway.get(PATH).get_json()["state"] == "paused"


@pytest.mark.slow
def test_put_back_it_gets_what_waited(serve: Serve, tmp_path: Path) -> None:
    """Without a word by hand, after it was reported as removed."""
    clock = ManualClock(sleep="waits")
    folder = (tmp_path / "kept").as_uri()
    with removed(serve, clock, archive_url=folder) as (gateway, receiver, toml):
        clock.advance(7200)
        gateway.archive.upkeep.run()
        runtime(gateway.app).close()

        back = operator(serve(toml=toml, clock=clock, archive_url=folder))
        assert back.get(PATH).get_json()["state"] != "removed"
        back.archive.upkeep.run()
        runtime(back.app).jobs.notify()

        until(lambda: [one["event"]["id"] for one in ended(back, "delivered")()] == ["a"])
        assert len(receiver.requests) == 2


@pytest.mark.slow
def test_what_waits_is_dropped_and_its_event_stays(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    """The delivery ends as expired, the destination leaves the list, and a second call drops nothing."""
    with removed(serve, ManualClock(sleep="waits")) as (gateway, _, _):
        [delivery] = gateway.get(f"{PATH}/deliveries").get_json()["deliveries"]

        assert gateway.post(f"{PATH}/drop").get_json()["deliveries"] == 1

        assert gateway.get("/api/v1/destinations").get_json()["destinations"] == []
        assert gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_json()["state"] == "expired"
        assert ended(gateway, "expired")()[0]["event"]["id"] == "a"
        assert gateway.post(f"{PATH}/drop").get_json()["deliveries"] == 0
        assert [one["count"] for one in lines(capfd, "deliveries_dropped")] == [1, 0]
        assert gateway.archive.index.versions("other", "a")


@pytest.mark.slow
def test_dropping_ends_only_what_waits(serve: Serve) -> None:
    """Of a destination that is in the settings, paused, with deliveries of every state; a key to read may not."""
    with LoopbackServer(Answer(200)) as receiver:
        gateway = operator(serve(toml=FOREVER + table(receiver.url)))
        send(gateway, "other", "a")
        until(ended(gateway, "delivered"))
        gateway.post(f"{PATH}/pause")
        for event_id in ("b", "c"):
            send(gateway, "other", event_id)

        reader = {"Authorization": f"Bearer {gateway.make_key('destinations:read')}"}
        assert gateway.open("POST", f"{PATH}/drop", headers=reader).status_code == 403
        assert gateway.post(f"{PATH}/drop").get_json()["deliveries"] == 2
        assert {one["event"]["id"] for one in ended(gateway, "expired")()} == {"b", "c"}
        assert [one["event"]["id"] for one in ended(gateway, "delivered")()] == ["a"]
        assert gateway.get(PATH).get_json()["waiting"] == 0
        gateway.post(f"{PATH}/resume")
        send(gateway, "other", "d")
        until(lambda: len(ended(gateway, "delivered")()) == 2)
        assert len(receiver.requests) == 2


@pytest.mark.slow
def test_deliveries_are_forgotten_after_the_last_destination_is_removed(serve: Serve) -> None:
    """`DELIVERIES_RETENTION` holds without a table too, and a process that starts begins with it."""
    clock = ManualClock(sleep="waits")
    with removed(serve, clock) as (gateway, _, _):
        gateway.post(f"{PATH}/drop")
        assert ended(gateway, "expired")()
        clock.advance(31 * 86_400)

        for begin in runtime(gateway.app).at_start:
            begin()
        runtime(gateway.app).jobs.notify()

        until(lambda: not ended(gateway, "expired")())
        store = runtime(gateway.app).jobs.store
        until(lambda: len(store.list(state="queued", kind="archive.upkeep", limit=9)) == 1)


TAKEN: list[str] = []


def take(event: Event) -> None:
    """Take a delivery in place of an address."""
    TAKEN.append(event.id)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["function", "https", "renamed"])
def test_what_waits_goes_to_the_destination_of_its_name_as_it_is_now(serve: Serve, kind: str, tmp_path: Path) -> None:
    """Its kind and address may change meanwhile; under another name it is another one, and gets what is new."""
    TAKEN.clear()
    clock = ManualClock(sleep="waits")
    with LoopbackServer(Answer(200)) as other:
        tables = {
            "function": table(f"{__name__}:take"),
            "https": table(other.url),
            "renamed": table(other.url, name="siem2"),
        }
        with removed(serve, clock, tables[kind], archive_url=(tmp_path / "kept").as_uri()) as (gateway, receiver, _):
            clock.advance(3600)
            runtime(gateway.app).jobs.notify()
            if kind == "renamed":
                send(gateway, "other", "b")
                until(ended(gateway, name="siem2"))
                assert [one["event"]["id"] for one in ended(gateway, "waiting")()] == ["a"]
            else:
                until(ended(gateway))
            assert len(receiver.requests) == 1
            assert [*TAKEN, *(one.json()["id"] for one in other.requests)] == ["b" if kind == "renamed" else "a"]
            if kind == "https":
                assert other.requests[0].headers["webhook-id"] == receiver.requests[0].headers["webhook-id"]
