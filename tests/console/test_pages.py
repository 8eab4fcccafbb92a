"""What the pages of the services show and do."""

import re

from sqlalchemy import select
from tests.console.kit import HTML, MakeApp, visit
from tests.console.seeding import XSS, make_busy_app

from carboy.services.archive.tables import ITEMS
from carboy.services.sms.tables import MESSAGES
from carboy.web import runtime


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


def test_raw_bodies_are_never_pages(make_app: MakeApp) -> None:
    app, paths = make_busy_app(make_app)

    raw = visit(app).get(f"{paths['event']}/raw")

    assert raw.content_type == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in raw.headers["Content-Security-Policy"]


def test_events_are_filtered_and_exported(make_app: MakeApp) -> None:
    """By source, type, id, text; a cell that begins like a formula is quoted."""
    app, _ = make_busy_app(make_app)
    person = visit(app)

    for query, count in (("source=crm", 4), ("type=order.paid", 3), ("id=order-", 3), ("id=order-1", 1),
                         ("source=crm&q=A-1", 3), ("state=archived", 0), ("from=2999-01-01T00:00", 0)):  # fmt: skip
        page = person.get(f"/console/events?{query}").text
        assert len(re.findall(r'href="/console/events/\d+"', page)) == count, query
        assert len(person.get(f"/console/events/export.ndjson?{query}").text.splitlines()) == count or "q=" in query
    table = person.get("/console/events/export.csv").text
    assert table.startswith("id,source,type,")
    assert "\n=" not in table


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


def test_a_stranger_learns_nothing(make_app: MakeApp) -> None:
    """All pages lead to the login."""
    app, paths = make_busy_app(make_app)
    client = app.test_client()

    for path in paths.values():
        found = client.get(path, headers=HTML)
        assert found.status_code == 302, path
        assert XSS not in found.text
