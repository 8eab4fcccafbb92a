"""Attacks on the console: forged forms, links that are opened twice, pages that are kept, markup in what is stored."""

import re
import sys
from itertools import product
from types import ModuleType
from typing import Any

import pytest
from flask import Blueprint
from sqlalchemy import insert, update
from tests.console.kit import HTML, MODULES, MakeApp, Person, make_key, visit
from tests.console.seeding import XSS, make_busy_app

from carboy.cli.startup_notes import local_key
from carboy.jobs import row_of
from carboy.jobs.tables import JOBS
from carboy.serve import lambda_handler
from carboy.services.archive.tables import ITEMS
from carboy.services.sms.inbound import INBOUND_JOB
from carboy.services.sms.tables import MESSAGES
from carboy.testing import events
from carboy.web import SCOPES, Page, runtime
from carboy.web.console.sessions import make_login
from carboy.web.console.visitors import Visitor


@pytest.mark.slow
@pytest.mark.parametrize(
    "authorization", ["Basic b3BlcmF0b3I6cGFzc3dvcmQ=", "Bearer", "Bearer cby_unknown", "Negotiate x"]
)
def test_only_a_key_in_the_header_stands_for_the_token_of_a_form(make_app: MakeApp, authorization: str) -> None:
    """A browser adds the password that a proxy asked for to what another site has it send."""
    app = make_app()
    person = visit(app)

    sent = person.client.post("/console/settings/refresh", headers={**HTML, "Authorization": authorization})

    assert sent.status_code in {400, 401}
    key = make_key(app)[1]
    by_key = app.test_client().post("/console/settings/refresh", headers={"Authorization": f"Bearer {key}"})
    assert by_key.status_code == 303


def test_without_authentication_a_password_of_a_proxy_is_no_token(make_app: MakeApp) -> None:
    client = make_app(auth=False).test_client()

    sent = client.post("/console/settings/refresh", headers={**HTML, "Authorization": "Basic eDp5"})

    assert sent.status_code == 400


def test_a_preview_of_the_one_time_address_does_not_use_it(make_app: MakeApp) -> None:
    """Chat programs send HEAD to links."""
    app = make_app()
    path = make_login(runtime(app), make_key(app)[1])
    person = Person(app.test_client())

    assert app.test_client().head(path, headers=HTML).status_code == 200

    assert person.get(path).status_code == 303


@pytest.mark.slow
def test_a_session_of_before_the_login_is_not_taken_over(make_app: MakeApp) -> None:
    """A cookie that an attacker planted is replaced at the login, and opens nothing."""
    app = make_app()
    person = Person(app.test_client())
    for name in ("carboy_session", "carboy_form"):
        person.client.set_cookie(name, "planted-by-a-thief")
    person.log_in(make_key(app)[1])
    kept = person.client.get_cookie("carboy_session")
    thief = app.test_client()
    thief.set_cookie("carboy_session", "planted-by-a-thief")

    assert kept is not None
    assert kept.value != "planted-by-a-thief"
    assert person.get("/console/jobs").status_code == 200
    assert thief.get("/console/jobs", headers=HTML).status_code == 302


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "///evil.example", "/\x00/evil", "\t//evil.example",
     "https:evil.example", "/%09/evil.example\n"],
)  # fmt: skip
def test_no_way_into_the_console_leads_out_of_it(make_app: MakeApp, target: str) -> None:
    """The one-time address, the login of someone who has a session, and the language switch stay on this host."""
    app = make_app()
    once = Person(app.test_client()).client.get(
        make_login(runtime(app), make_key(app)[1]), query_string={"next": target}, headers=HTML
    )
    again = visit(app).client.get("/login", query_string={"next": target}, headers=HTML)

    for found in (once, again):
        where = found.headers.get("Location", "/")
        assert where.startswith("/")
        assert not where.startswith(("//", "/\\"))
        assert "evil.example" not in where or where.startswith("/%")


@pytest.mark.slow
def test_every_response_of_the_console_forbids_frames_and_what_is_inline(make_app: MakeApp) -> None:
    """Pages, redirects, errors, downloads and assets."""
    app, paths = make_busy_app(make_app)
    person, stranger = visit(app), Person(app.test_client())
    style = re.search(r'rel="stylesheet" href="([^"]+)"', person.get("/").text)
    assert style is not None
    seen = [
        *(person.get(path) for path in (*paths.values(), style[1], "/nothing", "/console/nothing", "/console/jobs/0")),
        *(person.get(path) for path in ("/console/audit/export.csv", "/console/events/export.csv")),
        person.get(f"{paths['event']}/raw"),
        stranger.get("/console/jobs"), stranger.get("/login"), stranger.post("/login", key="x"),
        stranger.get("/login/unknown"),
    ]  # fmt: skip

    for found in seen:
        policy = found.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        if found.content_type.startswith("text/html"):
            assert "frame-ancestors 'none'" in policy
            assert found.headers["X-Frame-Options"] == "DENY"


@pytest.mark.slow
def test_nothing_of_a_session_is_kept_by_a_browser(make_app: MakeApp) -> None:
    """A browser that goes back after the logout sees the login."""
    app, paths = make_busy_app(make_app)
    person = visit(app)

    for path in (
        *paths.values(),
        "/console/events/export.csv",
        "/console/audit/export.ndjson",
        f"{paths['event']}/raw",
    ):
        assert person.get(path).headers["Cache-Control"] == "no-store", path


SERVICE_SCOPES = {
    "/console/events": "archive:read", "/console/refused": "archive:read", "/console/sources": "archive:read",
    "/console/destinations": "destinations:read", "/console/messages": "sms:read", "/console/statistics": "sms:read",
    "/console/templates": "sms:read", "/console/providers": "sms:read", "/console/jobs": "jobs:admin",
    "/console/keys": "keys:admin", "/console/settings": "settings:read", "/console/health": "settings:read",
    "/console/audit": "audit:read",
}  # fmt: skip


@pytest.mark.slow
def test_every_address_needs_the_scope_of_its_page(make_app: MakeApp) -> None:
    """Also what lies below it: an entry, a download, an action; HEAD and an unknown action are no way around."""
    app, paths = make_busy_app(make_app)
    below = [*paths.values(), f"{paths['event']}/raw", *(f"{page}/export.csv" for page in
             ("/console/events", "/console/audit", "/console/statistics"))]  # fmt: skip
    for page, scope in SERVICE_SCOPES.items():
        person = visit(app, *(one for one in SCOPES if one != scope))
        for path in (one for one in below if one == page or one.startswith(f"{page}/")):
            assert person.get(path).status_code == 403, path
            assert person.client.head(path, headers=HTML).status_code == 403, path
        assert f'href="{page}"' not in person.get("/").text


ACTIONS = {
    "{event}/replay": "archive:write", "{event}/deliver/1": "destinations:write", "{source}/test": "archive:write",
    "{destination}/test": "destinations:write", "{destination}/pause": "destinations:write",
    "{destination}/resume": "destinations:write", "{destination}/retry": "destinations:write",
    "{destination}/replay": "destinations:write", "{delivery}/retry": "destinations:write",
    "{message}/resend": "sms:send", "{message}/cancel": "sms:send", "{message}/number": "sms:numbers",
    "{template}/send": "sms:send", "/console/providers/outbox/out": "sms:send", "{job}/retry": "jobs:admin",
    "{job}/delete": "jobs:admin", "/console/keys/": "keys:admin", "/console/settings/refresh": "settings:read",
}  # fmt: skip


@pytest.mark.slow
def test_every_action_needs_its_scope(make_app: MakeApp) -> None:
    app, paths = make_busy_app(make_app)
    people: dict[str, Any] = {scope: visit(app, *(one for one in SCOPES if one != scope)) for scope in ACTIONS.values()}

    for action, scope in ACTIONS.items():
        assert people[scope].post(action.format(**paths)).status_code == 403, action


NOWHERE = (
    "/console/events/9223372036854775808", "/console/events/1/deliver/99999999999999999999", "/console/jobs/0",
    "/console/messages/99999999999999999999", "/console/destinations/deliveries/99999999999999999999",
    "/console/destinations/nobody", "/console/sources/nobody", "/console/templates/nobody",
    "/console/sources/nobody/test",
    "/console/destinations/nobody/pause", "/console/providers/nobody/out", "/console/keys/nobody/revoke",
    "/console/jobs/99999999999999999999/retry", "/console/destinations/deliveries/7/retry",
    "/console/messages/7/resend", "/console/messages/7/cancel", "/console/messages/7/number",
    "/console/events/7/replay",
)  # fmt: skip
SENSELESS = (
    "cursor=nonsense", "cursor=%00", "from=yesterday&until=%F0%9F%98%80",
    "from=0001-01-01T00:00&until=9999-12-31T23:59",
    "state=%27;DROP", "q=%00", "id=%00%ff", "source=%F0%9F%98%80", "severity=%25", "country=%00", "receiver=nobody",
    "who=%27%22", "group=day&group=nothing", "lang=xx", "lang=zh-Hans&lang=en", "kind=%3Cb%3E",
    "given=1&q=%3Cscript%3E",
    "from=2026-13-45", "until=2020-01-01", "q=" + "x" * 3000,
)  # fmt: skip


@pytest.mark.slow
def test_what_is_not_there_is_a_404(make_app: MakeApp) -> None:
    person = visit(make_app(modules=MODULES, sms_provider=("outbox",)))

    for path in NOWHERE:
        is_action = "/deliver/" in path or (path.count("/") > 3 and not path.rpartition("/")[2].isdigit())
        assert (person.post(path) if is_action else person.get(path)).status_code == 404, path


@pytest.mark.slow
def test_a_query_that_makes_no_sense_is_no_error_of_the_service(make_app: MakeApp) -> None:
    """Every list answers: with everything, with nothing, or with what is wrong."""
    person = visit(make_app(modules=MODULES, sms_provider=("outbox",)))

    for query, page in product(SENSELESS, SERVICE_SCOPES):
        found = person.get(f"{page}?{query}")
        assert found.status_code in {200, 422}, (page, query, found.status_code)
        assert "<script>" not in found.text.replace("<script src=", ""), (page, query)


@pytest.mark.slow
def test_the_provider_s_words_are_text_in_every_place(make_app: MakeApp) -> None:
    """In the message's facts, its timeline, the list, and the newest failures."""
    app, paths = make_busy_app(make_app)
    with runtime(app).engine.begin() as connection:
        connection.execute(update(MESSAGES).values(words=XSS, code=XSS[:100], reference=XSS, provider_id=XSS[:128]))
    person = visit(app)

    for path in (paths["message"], "/console/messages", "/"):
        page = person.get(path).text
        assert "<img src=x" not in page
        assert "&lt;script&gt;" in page


def test_a_page_without_a_console_is_plain_for_a_browser(make_app: MakeApp) -> None:
    """It loads nothing and leads nowhere; a program gets the problem document."""
    for settings in ({"console": False}, {"console_bind": "127.0.0.1:0"}):
        client = make_app(**settings).test_client()
        for path in ("/", "/login", "/console/jobs", "/<script>"):
            page, problem = client.get(path, headers=HTML), client.get(path)
            assert (page.status_code, problem.status_code) == (404, 404)
            assert page.content_type == "text/html; charset=utf-8"
            assert problem.content_type == "application/problem+json"
            assert not re.search(r"\b(?:href|src)=", page.text)
            assert page.headers["X-Request-Id"] in page.text
            assert "<script>" not in page.text
        assert "未找到" in client.get("/", headers={**HTML, "Accept-Language": "zh"}).text


@pytest.mark.slow
def test_what_people_wrote_needs_both_scopes_of_messages(make_app: MakeApp) -> None:
    """Number and text of an inbound message are hidden in its event, its job and the search; looks are audited."""
    app, paths = make_busy_app(make_app)
    body = b'{"sender": "+8613800000099", "text": "my private words"}'
    with runtime(app).engine.begin() as connection:
        row = int(paths["event"].rpartition("/")[2])
        connection.execute(ITEMS.update().where(ITEMS.c.id == row).values(source="sms", body=body))
        args = (1, "twilio", "+8613800000099", None, "my private words", None, 1)
        made = row_of(INBOUND_JOB, args, now_ms=runtime(app).clock.now_ms())
        connection.execute(insert(JOBS), made)
    pages = (paths["event"], f"/console/jobs/{made['id']}", "/console/events?q=private+words", "/console/jobs")
    trusted = visit(app)

    for lacking in ("sms:content", "sms:numbers"):
        person = visit(app, *(one for one in SCOPES if one != lacking))
        for path in pages:
            page = person.get(path).text.replace('value="private words"', "")
            assert "private words" not in page, path
            assert "+8613800000099" not in page, path
        assert person.get(f"{paths['event']}/raw").status_code == 403
        assert lacking in person.get(paths["event"]).text
    assert "my private words" in trusted.get(pages[0]).text
    assert "my private words" in trusted.get(pages[1]).text
    audited = trusted.get("/console/audit").text
    assert "event.read_message" in audited
    assert "job.read_args" in audited


def _page_of_a_module() -> Blueprint:
    made = Blueprint("orders", __name__)
    made.add_url_rule("/", "index", lambda: "orders", strict_slashes=False)
    return made


@pytest.mark.slow
def test_all_scopes_are_those_of_the_modules_pages_too(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of `local` has them, and a role with `*` does."""
    module = ModuleType("orders_module")
    vars(module)["register"] = lambda app: None
    vars(module)["pages"] = (Page("Orders", "Orders", "orders:read", _page_of_a_module),)
    monkeypatch.setitem(sys.modules, "orders_module", module)
    app = make_app(modules=("orders_module",))
    key = local_key(runtime(app))
    by_key = app.test_client().get("/console/orders", headers={**HTML, "Authorization": f"Bearer {key}"})

    assert (by_key.status_code, by_key.text) == (200, "orders")
    assert Visitor("ann", frozenset({"*"})).may("orders:read")
    assert not Visitor("ann", frozenset({"jobs:admin"})).may("orders:read")
    assert visit(app, *SCOPES).get("/console/orders").status_code == 403


@pytest.mark.slow
def test_the_console_works_on_lambda(make_app: MakeApp) -> None:
    """A login by form, with its cookies, and a page."""
    app = make_app(modules=())
    call, html = lambda_handler(app), ("accept", "text/html")
    login = call(events.http_v2("GET", "/login", headers=[html]), events.LambdaContext())
    token = re.search(r'name="csrf_token" value="(\w+)"', login["body"])
    assert token is not None
    form = f"csrf_token={token[1]}&key={make_key(app)[1]}&next=/console/jobs".encode()
    cookie = ("cookie", "; ".join(one.partition(";")[0] for one in login["cookies"]))

    kind = ("content-type", "application/x-www-form-urlencoded")
    done = call(events.http_v2("POST", "/login", headers=[html, kind, cookie], body=form), events.LambdaContext())
    cookie = ("cookie", "; ".join(one.partition(";")[0] for one in done["cookies"]))
    page = call(events.http_v2("GET", "/console/jobs", headers=[html, cookie]), events.LambdaContext())

    assert (done["statusCode"], done["headers"]["Location"]) == (303, "/console/jobs")
    assert page["statusCode"] == 200
    assert "operator" in page["body"]
