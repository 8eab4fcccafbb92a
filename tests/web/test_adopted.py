"""`init_app` changes nothing of an application that it was not asked to change."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from flask import Blueprint, Flask, Response, request
from tests.web.kit import Adopt
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, TooManyRequests
from werkzeug.test import Client, run_wsgi_app
from werkzeug.test import EnvironBuilder as Builder

from carboy.errors import MissingExtra
from carboy.web import PARTS, create_app, runtime

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    "parts", [None, ["request_ids"], ["request_ids", "health"], ["problems"], ["metrics", "problems"]]
)
@pytest.mark.parametrize("config", [{"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}, {"DEBUG": True}])
def test_an_exception_reaches_the_test_client_as_in_flask(
    adopt: Adopt, parts: list[str] | None, config: dict[str, bool]
) -> None:
    """Whichever part is there: `pytest.raises` around a call goes on working."""
    with pytest.raises(ZeroDivisionError, match="theirs"):
        adopt(parts, **config).test_client().get("/boom")


@pytest.mark.parametrize("config", [{}, {"TESTING": True}, {"DEBUG": True}])
def test_an_exception_is_answered_500_where_flask_answers_it(adopt: Adopt, config: dict[str, bool]) -> None:
    """`PROPAGATE_EXCEPTIONS` counts before `TESTING` and debug mode."""
    assert adopt(PROPAGATE_EXCEPTIONS=False, **config).test_client().get("/boom").status_code == 500


def test_testing_may_be_set_after_the_start(adopt: Adopt) -> None:
    """As tests do: `app.config.update(TESTING=True)` on the application of the factory."""
    app = adopt()
    app.config.update(TESTING=True)

    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/boom")


def test_the_debugger_shows_the_exception(adopt: Adopt) -> None:
    """Werkzeug's, which `flask run --debug` and `carboy serve --server dev` put around the application."""
    app = adopt(DEBUG=True)

    answer = Client(DebuggedApplication(app, evalex=True), Response).get("/boom")

    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.text
    assert "EVALEX" in answer.text


def test_a_request_that_raises_is_counted(adopt: Adopt) -> None:
    """With status 500, though Flask raises the exception again."""
    app = adopt(TESTING=True)
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/boom")

    assert 'http_requests_total{method="GET",route="",status="500"} 1.0' in runtime(app).metrics.render().decode()


@pytest.mark.parametrize(("given", "is_raised"), [({"testing": True}, True), ({"debug": True}, False), ({}, False)])
def test_an_application_of_carboys_own_raises_only_in_tests_and_below_a_debugger(
    tmp_path: Path, given: dict[str, Any], is_raised: bool, make_module: Any
) -> None:
    """Otherwise it answers 500, in debug mode too, on every profile."""

    def register(app: Flask) -> None:
        @app.get("/boom")
        def boom() -> NoReturn:
            raise ZeroDivisionError

    app = create_app("test", folder=tmp_path, modules=make_module(register), instance_path=str(tmp_path), **given)
    try:
        if is_raised:
            with pytest.raises(ZeroDivisionError):
                app.test_client().get("/boom")
        else:
            assert app.test_client().get("/boom").mimetype == "application/problem+json"
            shown = Client(DebuggedApplication(app, evalex=True), Response).get("/boom").text
            assert ("EVALEX" in shown) is app.debug
    finally:
        runtime(app).close()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "Not Found"),
        ("/upload", 405, "Method Not Allowed"),
        ("/gone", 410, "it was sold"),
        ("/boom", 500, "Internal Server Error"),
        ("/away", 503, "Service Unavailable"),
        ("/taken", 409, "it is taken"),
    ],
)
def test_a_browser_gets_a_page_and_a_program_a_problem(adopt: Adopt, path: str, status: int, words: str) -> None:
    """By `Accept`; without one, or with `*/*`, it is a program."""
    client = adopt().test_client()
    page = client.get(path, headers={"Accept": BROWSER})

    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert words in page.text
    for accept in (None, "*/*", "application/json", "application/problem+json", "text/html;q=0.5, application/json"):
        answer = client.get(path, headers={} if accept is None else {"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        assert answer.headers.get("Allow") == page.headers.get("Allow")
        assert answer.headers.get("Retry-After") == page.headers.get("Retry-After")


def test_handlers_of_the_application_stay(adopt: Adopt) -> None:
    """One for a status, one for a class of errors, and one for `Exception`, which gets HTTP errors too."""

    def before(app: Flask) -> None:
        @app.errorhandler(404)
        def missing(error: Exception) -> tuple[str, int]:
            return "my 404", 404

        @app.errorhandler(Exception)
        def everything(error: Exception) -> tuple[str, int]:
            return f"my {type(error).__name__}", error.code or 500 if isinstance(error, HTTPException) else 500

    client = adopt(before=before).test_client()

    assert client.get("/nowhere").text == "my 404"
    assert client.get("/gone").text == "my Gone"
    assert client.get("/gone").status_code == 410
    assert client.get("/boom").text == "my ZeroDivisionError"
    assert client.post("/boom").text == "my MethodNotAllowed"


@pytest.mark.parametrize("path", ["/gone", "/upload", "/boom"])
def test_an_application_with_error_pages_has_them_for_a_client_that_accepts_anything(adopt: Adopt, path: str) -> None:
    """A handler for one status says that errors are pages; for the other statuses Flask's is shown, as before."""

    def before(app: Flask) -> None:
        @app.errorhandler(404)
        def missing(error: Exception) -> tuple[str, int]:
            return "<h1>my 404</h1>", 404

    client = adopt(before=before).test_client()

    for headers in ({}, {"Accept": "*/*"}, {"Accept": BROWSER}):
        assert client.get(path, headers=headers).mimetype == "text/html"
    for accept in ("application/json", "application/problem+json", "application/json, */*;q=0.1"):
        assert client.get(path, headers={"Accept": accept}).mimetype == "application/problem+json"


@pytest.mark.parametrize("kind", [ZeroDivisionError, None])
def test_handlers_of_other_exceptions_say_nothing_about_statuses(adopt: Adopt, kind: type[Exception] | None) -> None:
    """As extensions register for their own exceptions, such as an expired token."""

    def before(app: Flask) -> None:
        if kind is not None:
            app.register_error_handler(kind, lambda error: ("mine", 500))

    assert adopt(before=before).test_client().get("/gone").mimetype == "application/problem+json"


@pytest.mark.parametrize("kind", [HTTPException, Exception])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_handler_for_a_whole_class_of_errors_stays(adopt: Adopt, kind: type[Exception], is_late: bool) -> None:
    """Registered by a blueprint before `init_app`, or by the application after it."""

    def handle(error: Exception) -> tuple[dict[str, object], int]:
        assert isinstance(error, HTTPException)
        return {"mine": error.code}, error.code or 500

    def before(app: Flask) -> None:
        errors = Blueprint("errors", __name__)
        errors.app_errorhandler(kind)(handle)
        app.register_blueprint(errors)

    app = adopt() if is_late else adopt(before=before)
    if is_late:
        app.register_error_handler(kind, handle)

    assert app.test_client().get("/nowhere").get_json() == {"mine": 404}
    assert app.test_client().post("/boom").get_json() == {"mine": 405}


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"MAX_CONTENT_LENGTH": 3_000_000}, 3_000_000),
        ({"MAX_CONTENT_LENGTH": 1_000}, 1_000),
        ({"MAX_BODY_BYTES": 2_000, "MAX_CONTENT_LENGTH": 3_000_000}, 2_000),
        ({}, 1_048_576),
    ],
)
def test_the_applications_own_limit_of_a_body_counts(adopt: Adopt, config: dict[str, int], limit: int) -> None:
    """`MAX_CONTENT_LENGTH`, with and without a length that is announced; 1 MiB where nothing is said."""
    app = adopt(**config)
    client = app.test_client()

    assert app.config["MAX_CONTENT_LENGTH"] == limit
    assert client.post("/upload", data=b"x" * limit).text == str(limit)
    assert client.post("/upload", data=b"x" * (limit + 1)).status_code == 413
    environ = Builder("/upload", method="POST", input_stream=io.BytesIO(b"x" * (limit + 1))).get_environ()
    environ.pop("CONTENT_LENGTH", None)
    environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert run_wsgi_app(app, environ)[1].startswith("413")


@pytest.mark.parametrize(("after", "status"), [(5_000_000, 200), (None, 200), (10, 413)])
def test_the_limit_may_be_set_after_the_start(adopt: Adopt, after: int | None, status: int) -> None:
    """`app.config` is asked at each request."""
    app = adopt()
    app.config["MAX_CONTENT_LENGTH"] = after

    assert app.test_client().post("/upload", data=b"x" * 2_000_000).status_code == status


def test_without_limits_there_is_no_limiter(adopt: Adopt) -> None:
    """The part was not asked for."""
    app = adopt(["request_ids", "problems", "health"])

    assert app.config["MAX_CONTENT_LENGTH"] is None
    assert app.test_client().post("/upload", data=b"x" * 2_000_000).status_code == 200


def _cors(app: Flask) -> None:
    """Do what Flask-CORS does."""

    @app.after_request
    def allow(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "https://shop.example"
        return response


@pytest.mark.parametrize("parts", [None, ["limits"], ["limits", "problems"]])
def test_refused_requests_have_the_headers_of_after_request(adopt: Adopt, parts: list[str] | None) -> None:
    """413, 415 and 429 too, so that a browser's code may read them, and `Retry-After`."""
    app = adopt(parts, before=_cors, RATE_LIMIT="4/m")
    client = app.test_client()
    headers = {"Content-Encoding": "gzip"}

    answers = [
        client.post("/upload", data=b"x" * 1_100_000),
        client.post("/upload", data=b"x", headers=headers),
        client.get("/nowhere"),
        client.post("/upload", data=b"x"),
        client.get("/upload"),
        client.options("/upload"),
    ]

    assert [answer.status_code for answer in answers] == [413, 415, 404, 200, 429, 429]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert int(answers[4].headers["Retry-After"]) >= 1
    assert answers[4].get_json()["status"] == 429


def _own_handler(kind: Any) -> Callable[[Flask], object]:
    def register(app: Flask) -> None:
        @app.errorhandler(kind)
        def handle(error: HTTPException) -> tuple[str, int]:
            return f"own {error.code}: {error.description}", error.code or 0

    return register


@pytest.mark.parametrize("parts", [None, ["limits"], ["limits", "problems", "request_ids"]])
@pytest.mark.parametrize("accept", [BROWSER, "*/*"])
@pytest.mark.parametrize("kind", [413, RequestEntityTooLarge, HTTPException, Exception])
def test_the_applications_own_handler_answers_a_body_that_is_too_large(
    adopt: Adopt, parts: list[str] | None, accept: str, kind: Any
) -> None:
    """By status, class or base class, as Flask looks for it."""
    client = adopt(parts, before=_own_handler(kind), MAX_CONTENT_LENGTH=5).test_client()

    answer = client.post("/upload", data=b"x" * 9, headers={"Accept": accept})

    assert (answer.status_code, answer.text[:9]) == (413, "own 413: ")


@pytest.mark.parametrize("kind", [429, TooManyRequests])
def test_the_applications_own_handler_answers_too_many_requests(adopt: Adopt, kind: Any) -> None:
    """`Retry-After` is added; a handler for another status changes nothing."""
    client = adopt(before=_own_handler(kind), RATE_LIMIT="1/m", MAX_CONTENT_LENGTH=5).test_client()

    first, second = client.post("/upload", data=b"x" * 9), client.get("/upload")

    assert first.get_json()["status"] == 413
    assert second.text == "own 429: too many requests"
    assert int(second.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("parts", [None, ["limits"]])
def test_a_browser_gets_a_page_for_a_refused_request(adopt: Adopt, parts: list[str] | None) -> None:
    """Also where the application has neither handlers nor `after_request` functions."""
    client = adopt(parts, RATE_LIMIT="2/m", MAX_CONTENT_LENGTH=5).test_client()
    headers = {"Accept": BROWSER}

    answers = [client.post("/upload", data=b"x" * 9, headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [413, 413, 429]
    assert {answer.mimetype for answer in answers} == {"text/html"}


def test_a_blueprints_own_handler_answers_for_its_routes(adopt: Adopt) -> None:
    """And not for those of others."""
    pages = Blueprint("pages", __name__)

    @pages.post("/form")
    def form() -> str:
        return request.get_data(as_text=True)

    @pages.errorhandler(413)
    def handle(_error: HTTPException) -> tuple[str, int]:
        return "the file is too large", 413

    client = adopt(before=lambda app: app.register_blueprint(pages), MAX_CONTENT_LENGTH=5).test_client()

    assert client.post("/form", data=b"x" * 9).text == "the file is too large"
    assert client.post("/upload", data=b"x" * 9).get_json()["status"] == 413


def test_a_refused_request_reaches_no_code_of_the_application(adopt: Adopt) -> None:
    """Neither `before_request` nor a view."""
    seen: list[str] = []

    def before(app: Flask) -> None:
        _cors(app)
        app.before_request(lambda: seen.append(request.path))

    adopt(before=before).test_client().post("/upload", data=b"x" * 1_100_000)

    assert seen == []


def test_a_part_without_its_library_is_left_out_or_refused(adopt: Adopt, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start: by default it is not added, and who asks for it learns how to get it."""
    monkeypatch.setattr("carboy.web.assembly.find_spec", lambda name: None)
    client = adopt().test_client()

    assert client.get("/docs").status_code == client.get("/metrics").status_code == 404
    assert client.get("/livez").status_code == 200
    for part, extra in (("docs", "api"), ("metrics", "metrics"), ("db", "db")):
        with pytest.raises(MissingExtra) as caught:
            adopt([part])
        assert caught.value.hint == f"pip install 'carboy[{extra}]'"


def test_every_part_is_known_to_the_table_of_libraries() -> None:
    """A part that is renamed is renamed there."""
    from carboy.web.parts import LIBRARIES

    assert set(LIBRARIES) <= set(PARTS)


def test_the_development_server_logs_no_request_twice(adopt: Adopt, caplog: pytest.LogCaptureFixture) -> None:
    """Its own line goes where the part `request_ids` logs one, and stays where that line is not wanted."""
    adopt(["request_ids"])
    werkzeug = logging.getLogger("werkzeug")
    caplog.set_level(logging.INFO, "werkzeug")
    form = '127.0.0.1 - - [29/Nov/2026 22:00:00] "%s" %s %s'
    for level in (logging.INFO, logging.WARNING):
        logging.getLogger("carboy.request").setLevel(level)
        werkzeug.info(form, "GET / HTTP/1.1", level, "-")
    logging.getLogger("carboy.request").setLevel(logging.NOTSET)
    werkzeug.info(form, "GET / HTTP/1.1", 0, "-")
    werkzeug.info("Running on %s", "http://127.0.0.1:5000")

    shown = [record.getMessage() for record in caplog.records if record.name == "werkzeug"]
    assert [line[-4:] for line in shown] == ["30 -", "5000"]
