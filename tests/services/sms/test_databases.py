"""The gateway on the servers that it runs on in production."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import URL, Engine, create_engine, select, text
from tests.lab.migrated import migrated_server_url
from tests.services.sms.kit import MakeService, Service, outbox

from carboy.db import upgrade
from carboy.db.migrate import _config
from carboy.services.sms.daily_counts import pack_days
from carboy.services.sms.statistics import Statistics, read_statistics_query
from carboy.services.sms.tables import RECEIPTS
from carboy.testing import LoopbackServer
from carboy.testing.answers import Answer, json_answer
from carboy.testing.processes import DatabaseServer


@pytest.fixture(params=["mariadb_server", "postgres_server"])
def services(request: pytest.FixtureRequest, make_service: MakeService) -> tuple[Service, Service]:
    """Two applications on one database, as two processes are."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    url = migrated_server_url(server)
    given: dict[str, Any] = {"database_url": url, "sms_daily_budget": 30, "rate_limit": "off"}
    return make_service(**given), make_service(**given)


def test_a_text_goes_all_its_way_on_a_server(services: tuple[Service, Service]) -> None:
    one, other = services
    message = one.sent_now(receivers="+8613800000000")
    assert message["state"] == "sent"
    assert other.message(message["request"]) == message
    one.post("/api/otp", {"receiver": "+8613800000000"})
    one.run_jobs()
    code = outbox(one)[-1]["params"]["code"]
    assert other.post("/api/otp", {"receiver": "+8613800000000"}).status_code == 429
    wrong = other.post("/api/otp/verify", {"receiver": "+8613800000000", "code": "x"}).json
    assert wrong is not None
    assert wrong["tries_left"] == 4
    assert other.post("/api/otp/verify", {"receiver": "+8613800000000", "code": code}).status_code == 200


def test_two_applications_at_once_keep_keys_budgets_and_limits(services: tuple[Service, Service]) -> None:
    """One message of a key, 30 of a budget, one code a minute, for any concurrent requests."""

    def post(number: int) -> tuple[int, str]:
        body = {"receivers": "+8613800000000", "template": "notice", "params": {"name": "a", "day": "b"}}
        headers = {"Idempotency-Key": f"k{number // 8}"}
        answer = services[number % 2].app.test_client().post("/api/sms", json=body, headers=headers)
        assert answer.json is not None
        return answer.status_code, str(answer.json.get("id"))

    def limited(number: int) -> int:
        body = {"receiver": f"+861390000000{number // 8}"}
        return services[number % 2].app.test_client().post("/api/otp", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(48)))
        codes = list(pool.map(limited, range(24)))
        spent = list(pool.map(post, range(400, 800, 8)))
    assert {status for status, _ in answers} == {202}
    assert len({found for _, found in answers}) == 6
    assert sorted(codes) == [202] * 3 + [429] * 21
    assert sorted(status for status, _ in spent) == [202] * 21 + [429] * 29


def test_opt_outs_schedules_and_statistics_on_a_server(services: tuple[Service, Service]) -> None:
    one, other = services
    request = one.send(send_at="2026-01-01T01:00:00Z", reference="r-1").json
    assert request is not None
    listed = other.client.get("/api/sms?reference=r-1&state=scheduled&country=CN").json
    assert listed is not None
    assert [message["request"] for message in listed["messages"]] == [request["id"]]
    assert other.client.delete(f"/api/sms/{request['id']}").status_code == 200
    assert one.sent_now()["state"] == "sent"
    for number in ("+14155550123", "+14155550124", "+14155550123"):
        assert other.post("/api/sms/opt-outs", {"receiver": number}).status_code in {200, 201}
    figures = other.client.get("/api/sms/statistics?from=2026-01-01&until=2026-01-02&group=state").json
    assert figures is not None
    assert {row["state"]: row["messages"] for row in figures["statistics"]} == {"canceled": 1, "sent": 1}
    one.clock.advance(3 * 86_400)
    one.gateway.upkeep.run()
    assert other.client.get("/api/sms/statistics?from=2026-01-01&until=2026-01-02&group=state").json == figures


def test_a_stop_is_before_a_message_is_marked_or_after(services: tuple[Service, Service]) -> None:
    """Whichever of two processes is first: what was marked after the STOP had ended is opted out."""
    from carboy.services.sms.message_store import Begin, begin
    from carboy.services.sms.numbers import parse_number
    from carboy.services.sms.opt_outs import OptOut, opt_out

    sender, stopper = services
    for number in range(14):  # two messages each, within the budget
        receiver = parse_number(f"+141555501{number:02}")
        answer = sender.send(receivers=receiver.e164).json
        assert answer is not None
        message = int(answer["messages"][0]["id"])
        claim = Begin((message,), f"w{number}", "outbox", {message: receiver.e164}, 1)
        stop = OptOut(receiver, "stop", None, 1)
        with ThreadPoolExecutor(2) as pool:
            began = pool.submit(sender.held.writer.run, begin, claim)
            stopped = pool.submit(stopper.held.writer.run, opt_out, stop)
            assert stopped.result()
            state = {True: "sending", False: "opted_out"}[message in began.result()]
        assert sender.message(answer["id"])["state"] == state
        again = sender.send(receivers=receiver.e164).json
        assert again is not None
        late = int(again["messages"][0]["id"])
        assert not sender.held.writer.run(begin, Begin((late,), "x", "outbox", {late: receiver.e164}, 1))
        assert sender.message(again["id"])["state"] == "opted_out"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (json_answer({"sid": "SM\0", "status": "queued\0"}, 201), "sent"),
        (json_answer({"sid": "S" * 500, "status": "q" * 500}, 201), "sent"),
        (json_answer({"code": 21211, "message": "bad\0"}, 400), "failed"),
        (json_answer({"code": "\0", "message": "\0" * 1000}, 400), "unknown"),
    ],
)
def test_whatever_a_provider_says_is_stored(
    postgres_server: DatabaseServer, make_service: MakeService, answer: Answer, state: str
) -> None:
    """PostgreSQL has no NUL in texts; a message is not left as `sending` for what a provider calls it."""
    url = migrated_server_url(postgres_server)
    account = {"twilio_account_sid": "AC1", "twilio_auth_token": "secret", "twilio_from": "+14155550100"}
    with LoopbackServer(answer) as server:
        service = make_service(
            sms_provider="twilio", twilio_url=server.url, database_url=url, sms_receipt_tokens="tok", **account
        )
        message = service.sent_now(receivers="+14155550123")
    assert message["state"] == state
    found = {"MessageSid": f"{message['provider_id']}\0", "MessageStatus": "delivered", "ErrorCode": "0\0"}
    assert service.client.post("/api/sms/receipts/twilio/tok", data=found).status_code == 204
    if state == "sent":
        assert service.message(message["request"])["state"] == "delivered"
    stop = {"MessageSid": "SM\0", "From": "+14155550123", "To": "+1\0", "Body": "STOP\0"}
    assert service.client.post("/api/sms/inbound/twilio/tok", data=stop).status_code == 200


@pytest.fixture(params=["sqlite", "mariadb_server", "postgres_server"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database of the version before the days were packed, with rows."""
    url: str | URL = f"sqlite:///{tmp_path}/older.db"
    if request.param != "sqlite":
        server: DatabaseServer = request.getfixturevalue(request.param)
        url = server.url(database=server.create_database())
    made = create_engine(url)
    with made.connect() as connection:
        command.upgrade(_config(connection, {"carboy", "sms"}), "0011")
    with made.begin() as connection:
        for bucket, shard in itertools.product(range(1, 41), range(4)):
            row = {"day": 20454, "bucket": bucket, "shard": shard, "messages": bucket, "parts": 2 * bucket}
            connection.execute(_OLD_DAILY, row)
        connection.execute(_OLD_RECEIPT)
    yield made
    made.dispose()


_OLD_DAILY = text(
    "INSERT INTO sms_daily (day, template, provider, country, state, bucket, shard, messages, parts)"
    " VALUES (:day, 'notice', 'outbox', 'CN', 'delivered', :bucket, :shard, :messages, :parts)"
)
_OLD_RECEIPT = text(
    "INSERT INTO sms_receipts (id, provider, provider_id, state, at) VALUES (1, 'outbox', 'p1', 'undelivered', 5)"
)


def test_counts_of_an_earlier_version_stay_and_are_packed(older: Engine) -> None:
    """A worker of the earlier version, which still runs, goes on counting."""
    query = read_statistics_query("2026-01-01", "2026-02-01", "template", 0)
    assert upgrade(older)
    statistics = Statistics(older, {}, frozenset())
    [before] = statistics.figures(query)
    assert (before["delivered"], before["parts"]) == (820 * 4, 1640 * 4)
    with older.begin() as connection:
        while pack_days(connection, 20455):
            pass
        assert connection.execute(text("SELECT count(*) FROM sms_daily")).scalar_one() == 1
        assert connection.execute(select(RECEIPTS.c.is_temporary)).scalar_one() == 0
    assert statistics.figures(query) == [before]
    with older.begin() as connection:
        row = {"day": 20454, "bucket": 7, "shard": 0, "messages": 1, "parts": 1}
        connection.execute(_OLD_DAILY, row)
        assert pack_days(connection, 20455) is False
    [after] = statistics.figures(query)
    assert (after["delivered"], after["parts"]) == (820 * 4 + 1, 1640 * 4 + 1)


def test_going_back_to_the_earlier_version_keeps_the_sums(older: Engine) -> None:
    upgrade(older)
    with older.begin() as connection:
        pack_days(connection, 20455)
    with older.connect() as connection:
        command.downgrade(_config(connection, {"carboy", "sms"}), "0011")
    with older.connect() as connection:
        sums = connection.execute(text("SELECT SUM(messages), SUM(parts) FROM sms_daily")).one()
    assert tuple(map(int, sums)) == (820 * 4, 1640 * 4)
