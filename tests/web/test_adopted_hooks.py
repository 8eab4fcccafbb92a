"""An application's own hooks, routes, middleware and classes work on, and do not stand between a probe and Carboy."""

import logging
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, g, redirect, request
from flask.ctx import _AppCtxGlobals
from tests.web.kit import Adopt
from werkzeug.middleware.proxy_fix import ProxyFix

from carboy.web import init_app, runtime


def _ask(app: Flask, path: str, **given: Any) -> Any:
    return app.test_client().get(path, **given)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize(
    "config", [{}, {"TRUSTED_HOSTS": ["example.com"]}, {"SERVER_NAME": "example.com", "PREFERRED_URL_SCHEME": "https"}]
)
@pytest.mark.parametrize("parts", [None, ["health"]])
def test_a_probe_passes_by_what_guards_the_application(
    adopt: Adopt, path: str, config: dict[str, Any], parts: list[str] | None
) -> None:
    """A login, a limit of requests, the hosts it may be asked by: an orchestrator knows none of them."""

    def before(app: Flask) -> None:
        app.before_request(lambda: redirect("/login"))

    app = adopt(parts, before, **config)

    assert _ask(app, path, headers={"Host": "10.0.0.7:8000"}).status_code == 200
    assert _ask(app, "/gone", headers={"Host": "example.com"}).status_code == 302


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_is_answered_whatever_the_host_where_routes_go_by_it(tmp_path: Any, path: str) -> None:
    """With `host_matching` a route is one host's, and with `subdomain_matching` one domain's."""
    for app in (Flask("a", host_matching=True, static_host="x.y"), Flask("b", subdomain_matching=True)):
        app.config.update(SECRET_KEY="x", SERVER_NAME="x.y", DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
        init_app(app, ["health"], folder=tmp_path)

        assert _ask(app, path, headers={"Host": "10.0.0.7"}).status_code == 200
        runtime(app).close()


def test_a_probe_has_no_body_for_head_and_no_other_method(adopt: Adopt) -> None:
    client = adopt().test_client()

    assert (client.head("/livez").status_code, client.head("/livez").data) == (200, b"")
    assert client.post("/livez").status_code == 405


@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/api/jobs"])
def test_a_route_of_the_application_wins(adopt: Adopt, path: str, is_late: bool) -> None:
    """Whether it was added before `init_app` or after, and with the hooks of its own blueprint."""
    own = Blueprint("own", __name__)
    own.add_url_rule(path, "page", lambda: f"their own, {g.who}")

    @own.before_request
    def say_who() -> None:
        g.who = request.endpoint

    app = adopt(before=lambda app: None if is_late else app.register_blueprint(own))
    if is_late:
        app.register_blueprint(own)

    for _ in range(2):
        assert _ask(app, path).text == "their own, own.page"


def test_a_late_route_with_another_method_leaves_carboys_alone(adopt: Adopt) -> None:
    """`POST /docs` is theirs, `GET /docs` Carboy's."""
    app = adopt()
    app.add_url_rule("/docs", "post_docs", lambda: "theirs", methods=["POST"])
    client = app.test_client()

    assert client.post("/docs").text == "theirs"
    assert client.get("/docs").text.startswith("<!doctype html>")


class _Csrf:
    """What Flask-WTF's CSRFProtect does, as far as it concerns a blueprint."""

    def __init__(self, app: Flask) -> None:
        self.exempted: set[str] = set()
        app.extensions["csrf"] = self
        app.before_request(self.protect)

    def exempt(self, view: Blueprint) -> Blueprint:
        """Let a blueprint's requests pass."""
        self.exempted.add(view.name)
        return view

    def protect(self) -> None:
        """Refuse a request without a token."""
        if request.method == "POST" and request.blueprint not in self.exempted:
            abort(400, "The CSRF token is missing.")


@pytest.mark.parametrize("is_late", [True, False])
def test_csrf_protection_passes_requests_with_a_key(adopt: Adopt, is_late: bool) -> None:
    """`POST /api/jobs/retry` is called by programs; the application's own forms stay protected."""
    app = adopt(before=lambda app: None if is_late else _Csrf(app))
    if is_late:
        _Csrf(app)
    client = app.test_client()

    assert client.post("/api/jobs/retry").status_code == 401
    assert client.post("/upload").status_code == 400


class _Sent(logging.Handler):
    """A handler that sends errors, such as `SMTPHandler`."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("parts", [None, ["problems"], ["problems", "logs"], ["request_ids"]])
def test_an_exception_is_logged_by_the_applications_own_logger(adopt: Adopt, parts: list[str] | None) -> None:
    """Whose handlers may send it by mail; a token in the path is masked."""
    sent = _Sent()

    def before(app: Flask) -> None:
        app.logger.addHandler(sent)
        app.add_url_rule("/hooks/<token>", "hook", lambda token: str(1 // 0))

    app = adopt(parts, before)
    try:
        assert _ask(app, "/hooks/s3cret").status_code == 500
    finally:
        app.logger.removeHandler(sent)

    [record] = sent.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    if parts != ["request_ids"]:  # that part changes nothing of it
        assert record.getMessage() == "Exception on /hooks/<token> [GET]"


def test_a_log_exception_of_the_applications_class_stays(tmp_path: Any) -> None:
    """It may report to somewhere else."""
    seen: list[Any] = []

    class Shop(Flask):
        def log_exception(self, exc_info: Any) -> None:
            seen.append(exc_info[0])

    app = Shop("theirs")
    app.add_url_rule("/boom", "boom", lambda: str(1 // 0))
    init_app(app, ["problems"], folder=tmp_path)

    assert _ask(app, "/boom").status_code == 500
    assert seen == [ZeroDivisionError]


def test_a_class_of_globals_of_the_applications_own_stays(tmp_path: Any) -> None:
    """`flask.g` has the request id beside its own names."""

    class Globals(_AppCtxGlobals):
        tenant = "acme"

    app = Flask("theirs")
    app.app_ctx_globals_class = Globals
    app.add_url_rule("/who", "who", lambda: [g.tenant, g.request_id])
    init_app(app, ["request_ids"], folder=tmp_path)

    answer = _ask(app, "/who")

    assert answer.json == ["acme", answer.headers["X-Request-Id"]]


@pytest.mark.parametrize("is_late", [True, False])
def test_limits_count_the_client_that_a_proxy_names(adopt: Adopt, is_late: bool, capsys: Any) -> None:
    """`ProxyFix` may be put around the application before `init_app` or after it."""

    def fix(app: Flask) -> None:
        vars(app)["wsgi_app"] = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_prefix=1)

    app = adopt(before=lambda app: None if is_late else fix(app), RATE_LIMIT="2/60s")
    if is_late:
        fix(app)

    def status(client: int) -> int:
        headers = {"X-Forwarded-For": f"192.0.2.{client}", "X-Forwarded-Prefix": "/shop"}
        return int(_ask(app, "/nowhere", headers=headers).status_code)

    assert [status(client) for client in (1, 1, 1, 2)] == [404, 404, 429, 404]
    assert '"client":"192.0.2.2"' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("parts", [["limits"], ["metrics"], ["health"], ["problems"], ["keys"]])
def test_a_part_alone_leaves_the_headers_of_the_application(adopt: Adopt, parts: list[str]) -> None:
    """Only `request_ids` replaces its `X-Request-Id`, and what browsers may guess is the application's affair."""

    def before(app: Flask) -> None:
        app.add_url_rule("/id", "id", lambda: Response("x", headers={"X-Request-Id": "its own"}))

    headers = _ask(adopt(parts, before), "/id").headers

    assert headers.getlist("X-Request-Id") == ["its own"]
    assert "X-Content-Type-Options" not in headers


def test_a_header_against_sniffing_is_sent_once(make_app: Any) -> None:
    """Where a view, or an extension such as Flask-Talisman, sends it already."""

    def register(app: Flask) -> None:
        app.add_url_rule("/x", "x", lambda: Response("x", headers={"X-Content-Type-Options": "nosniff"}))

    assert _ask(make_app(register), "/x").headers.getlist("X-Content-Type-Options") == ["nosniff"]
