"""What the pages of the services show and do."""

import csv
import re
from html import unescape
from urllib.parse import urlencode

import orjson
import pytest
from sqlalchemy import insert, select
from tests.console.kit import HTML, MakeApp, make_key, visit
from tests.console.seeding import SETTINGS, XSS, make_busy_app

from carboy.services.archive import archive_of
from carboy.services.archive.destinations.tables import ATTEMPTS, DELIVERIES
from carboy.services.archive.pages.event_queries import search_bodies
from carboy.services.archive.tables import ITEMS
from carboy.services.sms import sms_of
from carboy.services.sms.tables import ATTEMPTS as SMS_ATTEMPTS
from carboy.services.sms.tables import DAILY, MESSAGES, REQUESTS
from carboy.testing.clock import ManualClock
from carboy.web import runtime
from carboy.web.console.audit import record_as


@pytest.mark.slow
def test_what_a_sender_controls_is_text_on_every_page(make_app: MakeApp) -> None:
    """Ids, types, headers, bodies, a provider's words, errors: nothing of it becomes markup."""
    app, paths = make_busy_app(make_app)
    person = visit(app)

    shown = ""
    for path in paths.values():
        page = person.get(path)
        assert page.status_code == 200, path
        assert "<script>document" not in page.text, path
        assert "<img" not in page.text, path
        assert re.findall(r"\son\w+\s*=\s*[^&]", re.sub(r">[^<]*<", "><", page.text)) == [], path
        shown += page.text
    assert shown.count("&lt;script&gt;document") > 10
    assert "49" not in shown.split("{{7*")[0][-5:]


@pytest.mark.slow
def test_units_layers_and_findings_are_translated(make_app: MakeApp) -> None:
    """In Chinese: an age of minutes, the layer of a setting, what a check found."""
    clock = ManualClock()
    app, _ = make_busy_app(make_app, clock=clock)
    clock.advance(2 * 86400 + 3 * 3600)
    person = visit(app)

    assert "2 天 3 小时" in person.get("/console/jobs?lang=zh-Hans").text
    settings = person.get("/console/settings?lang=zh-Hans").text
    assert "来源层" in settings
    assert ">默认值<" in settings
    health = person.get("/console/health?lang=zh-Hans").text
    assert re.findall(r'<p class="wrap" lang="en">([^<]*)', health) == []


@pytest.mark.slow
def test_raw_bodies_are_never_pages(make_app: MakeApp) -> None:
    app, paths = make_busy_app(make_app)

    raw = visit(app).get(f"{paths['event']}/raw")

    assert raw.content_type == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in raw.headers["Content-Security-Policy"]


@pytest.mark.slow
def test_events_are_filtered_and_exported(make_app: MakeApp) -> None:
    """By source, type, id, text; a cell that begins like a formula is quoted."""
    app, _ = make_busy_app(make_app)
    person = visit(app)

    for query, count in (("source=crm", 4), ("type=order.paid", 3), ("id=order-", 3), ("id=order-1", 1),
                         ("source=crm&q=A-1", 3), ("state=archived", 0), ("from=2999-01-01T00:00", 0)):  # fmt: skip
        page = person.get(f"/console/events?{query}").text
        assert len(re.findall(r'href="/console/events/\d+"', page)) == count, query
        assert len(person.get(f"/console/events/export.ndjson?{query}").text.splitlines()) == count, query
    table = person.get("/console/events/export.csv").text
    assert table.startswith("id,source,type,")
    assert "\n=" not in table


@pytest.mark.slow
def test_an_id_is_shown_and_found_as_its_sender_wrote_it(make_app: MakeApp) -> None:
    """Not as keys of objects have it, in which most characters are escaped."""
    sources = {"crm": {"verify": "none", "id": "/id"}}
    app = make_app(modules=("carboy.services.archive",), archive_sources=sources)
    ids = ("=1+2", "evt:a/b", "订单-1", "50%_off")
    for one in ids:
        assert app.test_client().post("/api/v1/webhooks/crm", json={"id": one}).status_code == 202
    person = visit(app)

    rows = [orjson.loads(line) for line in person.get("/console/events/export.ndjson").text.splitlines()]
    assert [row["id"] for row in rows] == list(ids[::-1])
    for one in ids:
        page = person.get(f"/console/events?{urlencode({'id': one[:5]})}").text
        [(path, shown)] = re.findall(r'href="(/console/events/\d+)">([^<]*)<', page)
        assert unescape(shown) == one
        assert one in unescape(re.search(r"<h1>(.*?)<", person.get(path).text, re.DOTALL)[1])  # type: ignore[index]
    assert "No events here" in person.get("/console/events?id=50%25x").text


@pytest.mark.slow
def test_a_filter_that_cannot_be_read_is_named_and_refuses_a_download(make_app: MakeApp) -> None:
    """All rows are not mistaken for those that the filter means."""
    app, _ = make_busy_app(make_app)
    person = visit(app)

    for path, query, names in (
        ("/console/events", "from=2026-13-45T99:99&state=bogus", "from, state"),
        ("/console/events", "cursor=abc", "cursor"),
        ("/console/events", "until=9999-99-99", "until"),
        ("/console/jobs", "state=nope", "state"),
        ("/console/audit", "from=yesterday", "from"),
    ):
        page = person.get(f"{path}?{query}")
        assert page.status_code == 200
        assert f"are left out: {names}" in page.text, query
    assert person.get("/console/events/export.csv?from=yesterday").status_code == 422
    assert person.get("/console/audit/export.ndjson?until=x").status_code == 422
    for query in ("", "from=&until=&state=", "from=2026-01-01T00:00&until=2026-01-02T00:00:00%2B08:00&state=archived"):
        assert "are left out" not in person.get(f"/console/events?{query}").text


@pytest.mark.slow
def test_a_search_that_runs_out_of_time_goes_on_where_it_stopped(make_app: MakeApp) -> None:
    """Nothing between is passed over."""
    app, _ = make_busy_app(make_app)
    archive, engine = archive_of(app), runtime(app).engine
    with engine.connect() as connection:
        rows = connection.execute(select(ITEMS).order_by(ITEMS.c.id.desc())).all()

    seen, left, stops = [], rows, 0
    while left:
        found, stopped = search_bodies(archive.objects, engine, left, "", within_s=0.0)
        seen += [row.id for row in found]
        stops += stopped is not None
        left = [row for row in left if stopped is not None and row.id < stopped]

    assert seen == [row.id for row in rows]
    assert stops == len(rows) - 1 > 2


@pytest.mark.slow
def test_a_list_goes_on_by_cursor(make_app: MakeApp) -> None:
    app, _ = make_busy_app(make_app)
    client = app.test_client()
    for number in range(60):
        client.post("/api/v1/webhooks/crm", json={"id": f"more-{number}", "type": "x"})
    person, seen = visit(app), []

    path = "/console/events?type=x"
    while path:
        page = person.get(path).text
        seen += re.findall(r">(more-\d+)</a>", page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else ""

    assert seen == [f"more-{number}" for number in reversed(range(60))]


@pytest.mark.slow
def test_numbers_and_parameters_need_their_scopes_and_each_look_is_audited(make_app: MakeApp) -> None:
    app, paths = make_busy_app(make_app)
    reader, trusted = visit(app, "sms:read"), visit(app)

    page = reader.get(paths["message"]).text
    assert "+86138****0000" in page
    assert "13800000000" not in page
    assert "1234" not in re.sub(r"\d{10,}", "", page)
    assert reader.post(f"{paths['message']}/number").status_code == 403
    trusted.get(paths["message"])
    assert "+8613800000000" in trusted.post(f"{paths['message']}/number").text
    assert "message.read_number" in trusted.get("/console/audit").text


@pytest.mark.slow
def test_actions_of_the_services_work_and_need_their_scopes(make_app: MakeApp) -> None:
    """Archive again, pause, resume, take out, put back, send a test message."""
    app, paths = make_busy_app(make_app)
    reader, person = visit(app, "archive:read", "destinations:read", "sms:read"), visit(app)
    actions = {
        f"{paths['event']}/replay": {}, f"{paths['destination']}/pause": {}, f"{paths['destination']}/resume": {},
        "/console/providers/outbox/out": {}, "/console/providers/outbox/back": {},
        "/console/templates/captcha/send": {"receiver": "+8613800000002", "code": "77"},
    }  # fmt: skip

    for path, form in actions.items():
        assert reader.post(path, **form).status_code == 403, path
        assert person.post(path, **form).status_code == 303, path
    with runtime(app).engine.connect() as connection:
        assert len(connection.execute(select(MESSAGES.c.id)).all()) == 2
        assert connection.execute(select(ITEMS.c.id).where(ITEMS.c.item_id == "order-1")).scalar() is not None
    audited = person.get("/console/audit").text
    for action in ("event.replay", "destination.pause", "provider.out", "template.send_test"):
        assert action in audited


@pytest.mark.slow
def test_a_stranger_learns_nothing(make_app: MakeApp) -> None:
    """All pages lead to the login."""
    app, paths = make_busy_app(make_app)
    client = app.test_client()

    for path in paths.values():
        found = client.get(path, headers=HTML)
        assert found.status_code == 302, path
        assert XSS not in found.text


@pytest.mark.slow
def test_a_source_is_tested_with_its_own_secret(make_app: MakeApp) -> None:
    """Through the whole service: the event is kept; a source that only its sender can sign for says so."""
    sources = {
        **SETTINGS["archive_sources"],
        "repos": {"preset": "github", "secrets": ["g" * 32], "allow": ["192.0.2.0/24"]},
        "keyed": {"verify": "key"},
    }
    app, _ = make_busy_app(make_app, archive_sources=sources)
    person = visit(app)

    for name, words in (("shop", "accepted (202)"), ("repos", "accepted (202)"), ("keyed", "No sample was sent")):
        assert person.post(f"/console/sources/{name}/test").status_code == 303
        assert words in person.get(f"/console/sources/{name}").text, name
    events = person.get("/console/events?source=repos").text
    assert len(re.findall(r'href="/console/events/\d+"', events)) == 1
    assert "source.test" in person.get("/console/audit").text
    assert "set, version " in person.get("/console/sources/shop").text
    assert "s" * 32 not in person.get("/console/sources/shop").text


@pytest.mark.slow
def test_a_source_shows_why_requests_were_refused(make_app: MakeApp) -> None:
    app, paths = make_busy_app(make_app)
    app.test_client().post("/api/v1/webhooks/shop", data="{}")

    page = visit(app).get(paths["source"]).text

    rows = re.findall(r'data-label="Reason">\s*<span class="state bad">(\w+)</span>', page)
    assert sorted(rows) == ["missing", "signature"]


@pytest.mark.slow
def test_an_event_shows_its_size_and_each_attempt_of_its_deliveries(make_app: MakeApp) -> None:
    app, paths = make_busy_app(make_app)
    with runtime(app).engine.begin() as connection:
        mine = DELIVERIES.c.item == int(paths["event"].rpartition("/")[2])
        delivery = connection.execute(select(DELIVERIES.c.id).where(mine)).scalar_one()
        row = {"delivery": delivery, "number": 1, "destination": "warehouse", "at": 1, "duration_ms": 7, "status": 503,
               "error": "it answered 503"}  # fmt: skip
        connection.execute(insert(ATTEMPTS), row)
    person = visit(app)

    assert "warehouse: 503 it answered 503" in person.get(paths["event"]).text
    listed = person.get("/console/events?id=order-1").text
    size = len(b'{"id": "order-1", "type": "order.paid", "lines": [{"sku": "A-1", "count": 1}]}')
    assert f"{size} B" in listed


@pytest.mark.slow
def test_the_page_of_a_message_lists_its_attempts_and_its_cost(make_app: MakeApp) -> None:
    """Those that failed at one provider, and the one that another accepted."""
    app, paths = make_busy_app(make_app, sms_prices={"outbox": {"CN": 0.045, "default": 1}})
    number = int(paths["message"].rpartition("/")[2])
    with runtime(app).engine.begin() as connection:
        row = {"id": 1, "message": number, "provider": "first", "kind": "not_sent", "code": "E7", "words": XSS, "at": 5}
        connection.execute(insert(SMS_ATTEMPTS), row)
        connection.execute(MESSAGES.update().values(state="sent", sent_at=9, provider="outbox", segments=2))

    page = visit(app).get(paths["message"]).text

    assert "not sent" in page
    assert "E7" in page
    assert page.count("<tr>") == 3
    assert "0.09" in page
    assert "<img" not in page


@pytest.mark.slow
def test_parameters_of_one_receiver_are_its_own(make_app: MakeApp) -> None:
    """A request may have other parameters for each message."""
    app, _ = make_busy_app(make_app)
    key = make_key(app)[1]
    body = {"template": "captcha", "messages": [
        {"receiver": "+8613800000011", "params": {"code": "1111"}},
        {"receiver": "+8613800000012", "params": {"code": "2222"}},
    ]}  # fmt: skip
    made = app.test_client().post("/api/sms", json=body, headers={"Authorization": f"Bearer {key}"}).json
    assert made is not None
    person = visit(app)

    pages = [person.get(f"/console/messages/{one['id']}").text for one in made["messages"]]

    assert [("1111" in page, "2222" in page) for page in pages] == [(True, False), (False, True)]


@pytest.mark.slow
def test_messages_to_a_country_that_is_allowed_no_more_are_found(make_app: MakeApp) -> None:
    """As by the API: the limits are for what is sent."""
    app, _ = make_busy_app(make_app, sms_countries="CN")
    with runtime(app).engine.begin() as connection:
        hashed = sms_of(app).hash("+14155550100")
        connection.execute(MESSAGES.update().values(receiver_shown="+1415****0100", receiver_hash=hashed))

    page = visit(app).get("/console/messages?receiver=%2B14155550100").text

    assert "+1415****0100" in page
    assert "not a number" not in page


@pytest.mark.slow
def test_a_message_that_waits_is_canceled(make_app: MakeApp) -> None:
    app, _ = make_busy_app(make_app)
    key = make_key(app)[1]
    body = {"receivers": "+8613800000013", "template": "captcha", "params": {"code": "1"}}
    made = app.test_client().post("/api/sms", json=body, headers={"Authorization": f"Bearer {key}"}).json
    assert made is not None
    person, path = visit(app), f"/console/messages/{made['messages'][0]['id']}"

    assert person.post(f"{path}/cancel").status_code == 303

    page = person.get(path).text
    assert "canceled" in page
    assert f"{path}/cancel" not in page
    with runtime(app).engine.begin() as connection:
        connection.execute(MESSAGES.update().values(state="sent"))
    assert person.post(f"{path}/cancel").status_code == 409


@pytest.mark.slow
def test_statistics_are_shown_by_what_is_chosen_and_downloaded(make_app: MakeApp) -> None:
    """By day with charts; a range that cannot be is named."""
    app, _ = make_busy_app(make_app)
    held, row = runtime(app), {"template": "captcha", "provider": "outbox", "country": "CN", "bucket": 0, "shard": 0}
    with held.engine.begin() as connection:
        row |= {"day": held.clock.now_ms() // 86_400_000, "state": "sent", "messages": 1234, "parts": 2000}
        connection.execute(insert(DAILY), row)
    person = visit(app)

    page = person.get("/console/statistics").text
    assert page.count('class="chart') == 3
    grouped = person.get("/console/statistics?group=template&group=state").text
    assert "captcha" in grouped
    assert "1\u202f234" in grouped
    lines = person.get("/console/statistics/export.csv?group=template&group=state").text.splitlines()
    assert lines[0].startswith("template,state,messages,sent,")
    assert lines[1].startswith("captcha,sent,1234,1234,0,0,2000,")
    wrong = person.get("/console/statistics?from=2026-02-01&until=2026-01-01")
    assert wrong.status_code == 422
    assert "must be after" in wrong.text
    assert person.get("/console/statistics/export.csv?from=never").status_code == 422


@pytest.mark.slow
def test_the_overview_names_the_checks_and_what_came_just_now(make_app: MakeApp) -> None:
    app, _ = make_busy_app(make_app, clock=ManualClock())
    app.test_client().get("/readyz")

    page = visit(app).get("/").text

    assert re.search(r"object store</a>\s*<span class=\"state (?:ok|run|bad)", page)
    received = page.split(">Received</a>")[1].split("</section>")[0]
    assert re.search(r"last minute</dt><dd>5</dd></div><div><dt>last hour</dt><dd>5</dd>", received)


@pytest.mark.slow
def test_the_audit_log_is_downloaded_as_a_table(make_app: MakeApp) -> None:
    """Cells that begin like a formula are quoted, also full-width, as spreadsheets in East Asia take it."""
    app, _ = make_busy_app(make_app)
    with app.test_request_context():
        record_as("=cmd|' /C calc'!A0", None, "demo.formula", "+1", "@x")
        record_as("\uff1d1+1", None, "demo.formula", "\uff0b1", "\uff20x")

    lines = visit(app).get("/console/audit/export.csv?action=demo.formula").text.splitlines()

    assert lines[0] == "id,at,who,key_id,action,object,detail,address,request_id"
    [wide, row] = list(csv.DictReader(lines))
    assert (row["who"], row["object"], row["detail"]) == ("'=cmd|' /C calc'!A0", "'+1", "'@x")
    assert (wide["who"], wide["object"], wide["detail"]) == ("'\uff1d1+1", "'\uff0b1", "'\uff20x")


@pytest.mark.slow
def test_a_failed_message_is_sent_again(make_app: MakeApp) -> None:
    """With its parameters where they are still there, else with those that are entered; each needs to be whole."""
    app, paths = make_busy_app(make_app)
    person = visit(app)

    kept = person.get(paths["message"]).text
    assert 'name="code"' not in kept
    assert person.post(f"{paths['message']}/resend").status_code == 303
    with runtime(app).engine.begin() as connection:
        connection.execute(REQUESTS.update().values(params=None))
        connection.execute(MESSAGES.update().values(params=None))
    page = person.get(paths["message"]).text
    assert 'name="code" required' in page
    assert person.post(f"{paths['message']}/resend").status_code == 422
    assert person.post(f"{paths['message']}/resend", code="7").status_code == 303
    with runtime(app).engine.begin() as connection:
        assert len(connection.execute(select(MESSAGES.c.id)).all()) == 3
        connection.execute(MESSAGES.update().values(receiver=None))
    assert person.post(f"{paths['message']}/resend", code="7").status_code == 409
