"""Statistics equal the rows, whatever happened to the messages, and cost the same however many there are."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from tests.services.sms.kit import MakeService, Service

from carboy.services.sms.daily_counts import DAY_MS, Key, add_counts, bucket_of, delay_of, delays_of
from carboy.services.sms.delivery_reports import Report, report
from carboy.services.sms.message_store import Begin, Cancel, Mark, begin, cancel, mark
from carboy.services.sms.providers import Receipt
from carboy.services.sms.send_jobs import BULK_JOB, Resend
from carboy.services.sms.states import OPEN, State
from carboy.services.sms.statistics import FIGURES, as_csv, read_statistics_query
from carboy.services.sms.tables import DAILY, MESSAGES

NUMBERS = ("+8613800000000", "+14155550123", "+4915112345678")
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(
            ["begin", "sent", "failed", "unknown", "queued", "delivered", "undelivered", "cancel", "early", "passing"]
        ),
        st.sampled_from(["outbox", "other"]),
    ),
    max_size=25,
)


def counted(service: Service) -> Counter[tuple[str, str, str, str, int]]:
    """Return what the daily counts say: messages by their dimensions."""
    found: Counter[tuple[str, str, str, str, int]] = Counter()
    with service.held.engine.connect() as connection:
        for row in connection.execute(select(DAILY)):
            for bucket, count in (delays_of(row.delays) if row.delays else {row.bucket: row.messages}).items():
                found[row.template, row.provider, row.country, row.state, bucket] += count
            found[row.template, row.provider, row.country, f"{row.state} parts", 0] += row.parts
    return +found


def expected(service: Service) -> Counter[tuple[str, str, str, str, int]]:
    """Return the same from the rows of the messages."""
    found: Counter[tuple[str, str, str, str, int]] = Counter()
    with service.held.engine.connect() as connection:
        for row in connection.execute(select(MESSAGES).where(MESSAGES.c.state.not_in(OPEN))):
            delay = row.settled_at - (row.sent_at or row.created_at) if row.state == "delivered" else 0
            bucket = bucket_of(delay) if row.state == "delivered" else 0
            found[row.template, row.provider or "", row.country or "", row.state, bucket] += 1
            found[row.template, row.provider or "", row.country or "", f"{row.state} parts", 0] += row.segments
    return +found


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_counts_equal_the_rows_after_any_history(service: Service, steps: list[tuple[int, str, str]]) -> None:
    answer = service.send(receivers=list(NUMBERS)).json
    assert answer is not None
    writer, request = service.held.writer, int(answer["id"])
    ids = [int(one["id"]) for one in answer["messages"]]
    for at_ms, (which, step, provider) in enumerate(steps, service.clock.now_ms() + 1):
        message = ids[which]
        match step:
            case "begin":
                writer.run(begin, Begin((message,), "w", provider))
            case "cancel":
                writer.run(cancel, Cancel(message, at_ms))
            case "delivered" | "undelivered" | "early":
                state: State = "undelivered" if step == "undelivered" else "delivered"
                receipt = Receipt(f"p{message}", state, "" if step == "early" else str(message))
                writer.run(report, (Report(provider, receipt, "", at_ms),))
            case "passing":
                again = Report(provider, Receipt(f"p{message}", "undelivered", is_temporary=True), "", at_ms)
                writer.run(report, (replace(again, resends={"notice": Resend(2, BULK_JOB)}),))
            case "sent" | "failed" | "unknown" | "queued":
                settled = Mark(message, request, "w", step, at_ms, provider, f"p{message}")
                writer.run(mark, (replace(settled, resends={"notice": Resend(2, BULK_JOB)}),))
    assert counted(service) == expected(service)
    before = [figures(service, group) for group in ("", "state", "provider,state")]
    service.clock.advance(3 * 86_400)
    service.gateway.upkeep.run()
    service.clock.jump(-3 * 86_400)
    assert [figures(service, group) for group in ("", "state", "provider,state")] == before


def figures(service: Service, group: str) -> list[dict[str, Any]]:
    query = read_statistics_query("2026-01-01", "2026-02-01", group, 0)
    return service.gateway.statistics.figures(query)


def count_rows(service: Service) -> int:
    with service.held.engine.connect() as connection:
        return len(connection.execute(select(DAILY)).all())


def add(service: Service, counts: dict[Key, tuple[int, int]], shards: Iterable[int]) -> None:
    def write(connection: Connection, groups: Sequence[dict[Key, tuple[int, int]]]) -> list[None]:
        for group in groups:
            for shard in shards:
                add_counts(connection, group, shard)
        return [None] * len(groups)

    service.held.writer.run(write, counts)


def test_a_day_that_is_over_has_one_row_for_each_state(service: Service) -> None:
    """However many processes and times to delivery there were; the figures are the same."""
    day = service.clock.now_ms() // DAY_MS
    counts: dict[Key, tuple[int, int]] = {
        (day, "notice", "outbox", "CN", "delivered", at): (at, 2 * at) for at in range(1, 81)
    }
    counts |= {(day, "notice", "outbox", "CN", f"s{at}", 0): (at + 1, 2) for at in range(5)}
    add(service, counts, range(16))
    before = [figures(service, group) for group in ("", "day", "state,template")]
    service.gateway.upkeep.run()
    assert count_rows(service) == 85 * 16
    service.clock.advance(3 * 86_400)
    service.gateway.upkeep.run()
    assert count_rows(service) == 6
    assert [figures(service, group) for group in ("", "day", "state,template")] == before


def test_reports_that_come_after_the_day_was_packed_still_count(service: Service) -> None:
    """Whatever process they come to; the next clean-up adds them to the packed row."""
    key = (service.clock.now_ms() // DAY_MS, "notice", "outbox", "CN")
    add(service, {(*key, "delivered", 5): (10, 10), (*key, "sent", 0): (10, 10)}, (3,))
    service.clock.advance(3 * 86_400)
    service.gateway.upkeep.run()
    for shard in range(16):
        add(service, {(*key, "sent", 0): (-1, -1) if shard < 10 else (0, 0)}, (shard,))
        add(service, {(*key, "delivered", 100): (1, 1) if shard < 10 else (0, 0)}, (shard,))
    late = figures(service, "state")
    assert [(row["state"], row["messages"], row["parts"]) for row in late] == [("delivered", 20, 20)]
    assert late[0]["p50_s"] < 0.01 < late[0]["p95_s"]
    service.gateway.upkeep.run()
    assert (figures(service, "state"), count_rows(service)) == (late, 2)


def test_a_delivery_that_moves_in_a_packed_day_moves_in_its_figures(service: Service) -> None:
    """A batch of packing may see the new time before the old one goes."""
    key = (service.clock.now_ms() // DAY_MS, "notice", "outbox", "CN", "delivered")
    add(service, {(*key, 5): (1, 1)}, (0,))
    service.clock.advance(3 * 86_400)
    service.gateway.upkeep.run()
    add(service, {(*key, 5): (-1, -1), (*key, 100): (1, 1)}, (0,))
    service.gateway.upkeep.run()
    [row] = figures(service, "state")
    assert (row["messages"], row["p50_s"]) == (1, pytest.approx(delay_of(100) / 1000, rel=0.01))


def test_counts_that_cancel_out_are_packed_with_their_times(service: Service) -> None:
    """A batch may hold the new time of one message and only that of another which moved away."""
    key = (service.clock.now_ms() // DAY_MS, "notice", "outbox", "CN", "delivered")
    add(service, {(*key, 60): (1, 1), (*key, 100): (-1, -1)}, (3,))
    service.clock.advance(3 * 86_400)
    service.gateway.upkeep.run()
    add(service, {(*key, 100): (1, 1)}, (3,))
    service.gateway.upkeep.run()
    [row] = figures(service, "state")
    assert (row["messages"], row["p50_s"]) == (1, pytest.approx(delay_of(60) / 1000, rel=0.01))


def test_figures_by_any_group_add_up(service: Service) -> None:
    for number in NUMBERS:
        service.sent_now(receivers=number)
    answer = service.client.get("/api/sms/statistics?from=2026-01-01&until=2026-01-02&group=country,day").json
    assert answer is not None
    assert answer["group"] == ["day", "country"]
    found = {row["country"]: (row["day"], row["sent"], row["delivered"], row["parts"]) for row in answer["statistics"]}
    assert found == dict.fromkeys(("CN", "US", "DE"), ("2026-01-01", 1, 0, 1))
    total = service.client.get("/api/sms/statistics").json
    assert total is not None
    assert [(row["messages"], row["sent"]) for row in total["statistics"]] == [(3, 3)]


def test_cost_is_by_provider_and_country(make_service: MakeService) -> None:
    service = make_service(sms_prices={"outbox": {"CN": 0.045, "default": 0.1}})
    for number in NUMBERS:
        service.sent_now(receivers=number)
    answer = service.client.get("/api/sms/statistics?group=provider").json
    assert answer is not None
    assert [(row["provider"], row["cost"]) for row in answer["statistics"]] == [("outbox", 0.245)]


def test_conversion_is_the_part_of_codes_that_were_entered(service: Service) -> None:
    for number in ("+8613800000000", "+8613900000000"):
        service.post("/api/otp", {"receiver": number})
    service.run_jobs()
    from tests.services.sms.kit import outbox

    code = outbox(service)[0]["params"]["code"]
    number = outbox(service)[0]["receiver"]
    assert service.post("/api/otp/verify", {"receiver": number, "code": code}).status_code == 200
    answer = service.client.get("/api/sms/statistics?group=template").json
    assert answer is not None
    assert [(row["template"], row["sent"], row["conversion"]) for row in answer["statistics"]] == [("captcha", 2, 0.5)]


def test_csv_has_a_header_and_the_same_figures(service: Service) -> None:
    service.sent_now()
    answer = service.client.get("/api/sms/statistics?group=template,state", headers={"Accept": "text/csv"})
    assert answer.content_type == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["template"], row["state"], row["messages"]) == ("notice", "sent", "1")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=yesterday", "/query/from"),
        ("until=2026-01-01T00:00:00", "/query/until"),
        ("group=hour", "/query/group"),
        ("from=2026-01-02&until=2026-01-01", "/query/until"),
    ],
)
def test_a_wrong_query_has_its_pointer(service: Service, query: str, pointer: str) -> None:
    answer = service.client.get(f"/api/sms/statistics?{query}")
    assert answer.status_code == 422
    assert answer.json is not None
    assert [one["pointer"] for one in answer.json["errors"]] == [pointer]


@given(st.floats(1.0, 1e10))
def test_a_bucket_is_within_five_percent(delay_ms: float) -> None:
    assert delay_of(bucket_of(delay_ms)) == pytest.approx(delay_ms, rel=0.05)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_that_begins_like_a_formula_is_quoted(begin: str) -> None:
    """Also full-width, as spreadsheets in East Asia take it."""
    query = read_statistics_query(None, None, "template", 1_767_225_600_000)
    figure = {"template": f"{begin}HYPERLINK(1)", **dict.fromkeys(FIGURES)}
    [_, row] = csv.reader(io.StringIO(as_csv(query, [figure]), newline=""))
    assert row[0] == f"'{begin}HYPERLINK(1)"
