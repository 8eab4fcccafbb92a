"""Who may enter the console: login, sessions, scopes, forms, revocation."""

import json

import pytest
from tests.console.kit import HTML, MakeApp, Person, make_key, visit
from tests.console.seeding import SETTINGS

from carboy.services.archive import archive_of
from carboy.testing.clock import ManualClock
from carboy.web import SCOPES, runtime
from carboy.web.console.sessions import make_login


@pytest.mark.slow
def test_a_browser_without_a_session_is_sent_to_the_login_and_back(make_app: MakeApp) -> None:
    app = make_app()
    person = Person(app.test_client())

    sent = person.get("/console/jobs?state=dead")
    assert sent.status_code == 302
    assert sent.headers["Location"] == "/login?next=/console/jobs%3Fstate%3Ddead"
    done = person.log_in(make_key(app)[1], "/console/jobs?state=dead")

    assert (done.status_code, done.headers["Location"]) == (303, "/console/jobs?state=dead")
    assert person.get("/console/jobs?state=dead").status_code == 200


def test_a_program_gets_no_page(make_app: MakeApp) -> None:
    """Without a key 401 as a problem document; the overview is for browsers."""
    client = make_app().test_client()

    refused, nothing = client.get("/console/jobs"), client.get("/")

    assert (refused.status_code, nothing.status_code) == (401, 404)
    assert {one.content_type for one in (refused, nothing)} == {"application/problem+json"}


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/%0d%0aSet-Cookie:a=b".replace("%0d%0a", "\r\n"),
     "javascript:alert(1)", "evil", "", "/\t/evil.example", "http:evil.example"],
)  # fmt: skip
def test_the_login_leads_to_this_host_only(make_app: MakeApp, target: str) -> None:
    app = make_app()
    done = Person(app.test_client()).log_in(make_key(app)[1], target)

    assert done.headers["Location"] == "/"


@pytest.mark.slow
def test_the_cookie_is_kept_from_scripts_and_other_sites(make_app: MakeApp) -> None:
    """`Secure` outside of `local`."""
    for profile, is_secure in (("local", False), ("test", True)):
        app = make_app(profile)
        done = Person(app.test_client()).log_in(make_key(app)[1])
        cookie = next(one for one in done.headers.get_all("Set-Cookie") if one.startswith("carboy_session="))

        assert ("Secure" in cookie) is is_secure
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Max-Age=43200", "Path=/"))


@pytest.mark.slow
def test_a_session_ends_after_twelve_hours(make_app: MakeApp) -> None:
    clock = ManualClock()
    app = make_app(clock=clock)
    person = visit(app)

    clock.advance(12 * 3600 - 2)
    assert person.get("/console/jobs").status_code == 200
    clock.advance(3)

    assert person.get("/console/jobs").status_code == 302


@pytest.mark.slow
def test_logging_out_ends_the_session_on_the_server(make_app: MakeApp) -> None:
    app = make_app()
    person = visit(app)
    cookie = person.client.get_cookie("carboy_session")
    assert cookie is not None
    token = cookie.value

    assert person.post("/logout").status_code == 303
    thief = app.test_client()
    thief.set_cookie("carboy_session", token)

    assert thief.get("/console/jobs", headers=HTML).status_code == 302


@pytest.mark.slow
def test_revoking_its_key_ends_a_session(make_app: MakeApp) -> None:
    clock = ManualClock()
    app = make_app(clock=clock)
    key_id, text = make_key(app)
    person = Person(app.test_client())
    person.log_in(text)
    assert person.get("/console/jobs").status_code == 200

    runtime(app).keys.store.revoke(key_id)
    clock.advance(1)

    assert person.get("/console/jobs").status_code == 302
    assert person.log_in(text).status_code == 401


def test_a_key_that_has_expired_opens_nothing(make_app: MakeApp) -> None:
    clock = ManualClock()
    app = make_app(clock=clock)
    _, text = make_key(app, expires_at=clock.now_ms() + 60_000)
    person = Person(app.test_client())
    assert person.log_in(text).status_code == 303

    clock.advance(61)

    assert person.get("/console/jobs").status_code == 302
    assert person.log_in(text).status_code == 401


@pytest.mark.slow
def test_ten_failed_logins_a_minute_and_address_are_the_most(make_app: MakeApp) -> None:
    """Then also the right key is refused, with when to come back; successes do not count."""
    clock = ManualClock()
    app = make_app(clock=clock)
    _, text = make_key(app)
    person = Person(app.test_client())
    for _ in range(12):
        assert person.log_in(text).status_code == 303
        person.get("/")
        person.post("/logout")

    assert [person.log_in(f"cby_{turn}").status_code for turn in range(10)] == [401] * 10
    refused = person.log_in(text)

    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 66
    clock.advance(70)
    assert person.log_in(text).status_code == 303


@pytest.mark.slow
def test_one_time_address_logs_in_once(make_app: MakeApp) -> None:
    """What `carboy serve` prints on the profile `local`."""
    app = make_app()
    path = make_login(runtime(app), make_key(app)[1])
    first, second = Person(app.test_client()), Person(app.test_client())

    assert first.get(path).status_code == 303
    assert first.get("/").status_code == 200
    assert second.get(path).status_code == 401
    assert second.get("/").status_code == 302


def test_one_time_address_is_good_for_an_hour(make_app: MakeApp) -> None:
    clock = ManualClock()
    app = make_app(clock=clock)
    path = make_login(runtime(app), make_key(app)[1])

    clock.advance(3601)

    assert Person(app.test_client()).get(path).status_code == 401


FORMS = (
    "/login", "/logout", "/console/keys/", "/console/settings/refresh", "/console/jobs/retry", "/console/jobs/1/retry",
    "/console/keys/x/revoke",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_its_token_is_refused(make_app: MakeApp, path: str) -> None:
    app = make_app()
    person, other = visit(app), visit(app)
    before = len(runtime(app).keys.store.list())

    for token in ("", "0" * 64, other.token):
        person.token = token
        assert person.post(path, key="x", name="thief", scope="keys:admin").status_code == 400

    assert len(runtime(app).keys.store.list()) == before
    assert person.get("/").status_code == 200


@pytest.mark.slow
def test_a_form_that_another_site_sends_is_refused(make_app: MakeApp) -> None:
    person = visit(make_app())
    form = {"csrf_token": person.token}

    headers = {**HTML, "Sec-Fetch-Site": "cross-site"}
    sent = person.client.post("/console/settings/refresh", data=form, headers=headers)

    assert sent.status_code == 400


PAGES = {"jobs": "jobs:admin", "keys": "keys:admin", "settings": "settings:read", "health": "settings:read",
         "audit": "audit:read"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("page", "scope"), PAGES.items())
def test_a_page_without_its_scope_is_absent_and_its_address_answers_403(
    make_app: MakeApp, page: str, scope: str
) -> None:
    app = make_app()
    without = visit(app, *(one for one in SCOPES if one != scope))
    alone = visit(app, scope)

    assert without.get(f"/console/{page}").status_code == 403
    assert f"/console/{page}" not in without.get("/").text
    assert alone.get(f"/console/{page}").status_code == 200
    assert f"/console/{page}" in alone.get("/").text


def test_an_action_without_its_scope_is_refused(make_app: MakeApp) -> None:
    app = make_app()
    person = visit(app, "audit:read")

    assert person.post("/console/keys/", name="more", scope="keys:admin").status_code == 403
    assert person.post("/console/settings/refresh").status_code == 403


@pytest.mark.slow
def test_without_authentication_everybody_is_let_in(make_app: MakeApp) -> None:
    """`AUTH=off` is for `local` and `test`; forms are still protected."""
    person = Person(make_app(auth=False).test_client())

    assert person.get("/").status_code == 200
    assert person.client.post("/console/settings/refresh", headers=HTML).status_code == 400
    person.get("/console/settings")
    assert person.post("/console/settings/refresh").status_code == 303


def test_switched_off_there_is_nothing(make_app: MakeApp) -> None:
    """Errors are plain pages for a browser, problem documents for a program."""
    client = make_app(console=False).test_client()

    for path in ("/", "/login", "/console/jobs"):
        page, problem = client.get(path, headers=HTML), client.get(path)
        assert (page.status_code, page.content_type) == (404, "text/html; charset=utf-8")
        assert "console" not in page.text
        assert (problem.status_code, problem.content_type) == (404, "application/problem+json")


@pytest.mark.slow
def test_each_action_is_in_the_audit_log(make_app: MakeApp) -> None:
    """Who, what, on which object, when; the page shows and exports it."""
    clock = ManualClock()
    app = make_app(clock=clock)
    person = visit(app)
    person.post("/console/keys/", name="sender", scope="jobs:admin")
    key = next(one for one in runtime(app).keys.store.list() if one.name == "sender")
    person.post(f"/console/keys/{key.id}/revoke")
    person.post("/console/settings/refresh")

    lines = person.get("/console/audit/export.ndjson").text.splitlines()
    page = person.get("/console/audit?action=key.revoke").text

    assert [json.loads(line)["action"] for line in lines] == [
        "audit.export", "settings.refresh", "key.revoke", "key.create", "login",
    ]  # fmt: skip
    assert {(json.loads(line)["who"], json.loads(line)["address"]) for line in lines} == {("operator", "127.0.0.1")}
    assert key.id in page
    assert "key.create" not in page


def test_an_error_is_a_page_for_a_browser_and_a_problem_for_a_program(make_app: MakeApp) -> None:
    """With the request's id, in the language of the request, also outside of the console."""
    app = make_app()

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("secret of the house")

    client = app.test_client()
    for path, status in (("/nothing", 404), ("/broken", 500), ("/livez/x", 404)):
        page = client.get(path, headers={**HTML, "X-Request-Id": "an-id.1"})
        problem = client.get(path, headers={"X-Request-Id": "an-id.1", "Accept": "*/*"})

        assert (page.status_code, problem.status_code) == (status, status)
        assert page.content_type == "text/html; charset=utf-8"
        assert problem.content_type == "application/problem+json"
        assert "an-id.1" in page.text
        assert problem.json["request_id"] == "an-id.1"  # type: ignore[index]
        assert "secret of the house" not in page.text + problem.text
        assert "Accept" in page.headers["Vary"]
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "未找到" in client.get("/nothing", headers={**HTML, "Accept-Language": "zh-CN"}).text


@pytest.mark.slow
def test_the_language_is_the_best_of_the_browser_s_or_the_one_chosen(make_app: MakeApp) -> None:
    """English by default; `Vary` says so."""
    person = Person(make_app(auth=False).test_client())

    for accept, tag in (
        ("", "en"), ("fr", "en"), ("zh-CN,zh;q=0.9", "zh-Hans"), ("en;q=0.5,zh-TW", "zh-Hans"), ("zh;q=0", "en"),
        ("de,en;q=0.9,zh;q=0.1", "en"),
    ):  # fmt: skip
        page = person.get("/", **({"Accept-Language": accept} if accept else {}))
        assert f'<html lang="{tag}">' in page.text
        assert "Accept-Language" in page.headers["Vary"]
    person.get("/?lang=zh-Hans")

    assert '<html lang="zh-Hans">' in person.get("/console/jobs").text


@pytest.mark.slow
def test_every_page_says_what_a_browser_may_do_with_it(make_app: MakeApp) -> None:
    """Nothing inline, nothing from elsewhere, no frame; assets are kept for a year under a name with their hash."""
    person = visit(make_app())

    for path in ("/", "/login", *(f"/console/{page}" for page in PAGES)):
        page = person.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert all(one in policy for one in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"))
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "no-store"
        assert " style=" not in page.text
        assert "<script>" not in page.text
        assert " onclick" not in page.text
    page = person.get("/")
    style = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    kept = person.get(style)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert person.get(style.replace(".css", "x.css")).status_code == 404


@pytest.mark.slow
def test_a_created_key_is_shown_once(make_app: MakeApp) -> None:
    app = make_app()
    person = visit(app)

    made = person.post("/console/keys/", name="<b>sender</b>", scope="jobs:admin", expires="30d")
    text = made.text.split('class="secret"')[1].split(">")[1].split("<")[0]

    assert made.status_code == 201
    key = runtime(app).keys.find(text)
    assert key is not None
    assert key.expires_at is not None
    assert "<b>sender" not in made.text
    assert text not in person.get("/console/keys").text
    assert person.post("/console/keys/", name="", scope="jobs:admin").status_code == 422
    assert person.post("/console/keys/", name="x", scope="no such").status_code == 422
    assert person.post(f"/console/keys/{'0' * 12}/revoke").status_code == 404


def test_the_path_of_a_one_time_login_is_masked(make_app: MakeApp) -> None:
    app = make_app()
    path = make_login(runtime(app), make_key(app)[1])

    assert runtime(app).show_path(path) == "/login/<token>"


def test_an_application_s_own_addresses_take_precedence(make_app: MakeApp) -> None:
    """Also those that are added after the console."""
    app = make_app()
    for rule in ("/", "/login", "/<name>"):
        app.add_url_rule(rule, rule, lambda name="mine": name)
    client = app.test_client()

    for path, text in (("/", "mine"), ("/login", "mine"), ("/other", "other")):
        assert client.get(path, headers=HTML).text == text
    assert client.get("/console/jobs", headers=HTML).status_code == 302


@pytest.mark.slow
def test_where_the_service_answers_the_root_itself_the_overview_is_below_console(make_app: MakeApp) -> None:
    """The login leads there."""
    app = make_app()
    app.add_url_rule("/", "mine", lambda: "mine")
    person = visit(app)

    assert person.log_in(make_key(app)[1], "").headers["Location"] == "/console/"
    page = person.get("/console/")
    assert page.status_code == 200
    assert '<a href="/console/" aria-current="page">' in page.text
    assert person.get("/").text == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("action", ["test", "pause", "resume", "retry", "drop", "replay"])
def test_a_session_that_has_ended_changes_no_destination(make_app: MakeApp, action: str) -> None:
    """The form leads to the login, with its page as the way back; nothing is done, and nothing audited."""
    clock = ManualClock()
    app = make_app(clock=clock, **SETTINGS)
    person = visit(app)
    destinations = archive_of(app).destinations
    (destinations.pause if action == "resume" else destinations.resume)("warehouse")
    before = destinations.describe("warehouse")["state"]
    assert person.get("/console/destinations/warehouse").status_code == 200

    clock.advance(13 * 3600)
    form = {"csrf_token": person.token, "from": "2017-01-01T00:00", "until": "2027-01-01T00:00"}
    path = "/console/destinations/warehouse"
    sent = [
        person.client.post(f"{path}/{action}", data=form, headers={**HTML, "Referer": referer})
        for referer in (f"http://localhost{path}?state=failed", "https://evil.example/x", "", "//[")
    ]

    assert [answer.status_code for answer in sent] == [303] * 4
    ways_back = [answer.headers["Location"] for answer in sent]
    assert ways_back == [f"/login?next={path}%3Fstate%3Dfailed", *["/login?next=/"] * 3]
    assert person.client.post(f"{path}/{action}", data=form).status_code == 401, "a program"
    assert destinations.describe("warehouse")["state"] == before
    with runtime(app).engine.connect() as connection:
        assert (
            connection.exec_driver_sql("SELECT action FROM carboy_audit WHERE action LIKE 'destination%'").all() == []
        )
