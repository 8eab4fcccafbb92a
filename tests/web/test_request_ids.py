"""Every answer says under which id it is found in the logs."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest
from flask import Flask, abort, g, request
from hypothesis import given
from hypothesis import strategies as st

from carboy import logs
from carboy.web.http.request_ids import choose_request_id

_NEW = re.compile(r"[0-9a-f]{32}")


def _register(app: Flask) -> None:
    @app.get("/id")
    def own_id() -> dict[str, str]:
        return {"g": g.request_id, "logs": logs.request_id()}

    @app.post("/echo")
    def echo() -> bytes:
        return request.get_data()

    @app.get("/stream")
    def stream() -> Any:
        return app.response_class(logs.request_id() for _ in range(2))

    @app.get("/boom")
    def boom() -> NoReturn:
        raise RuntimeError("told to nobody")

    @app.get("/gone")
    def gone() -> NoReturn:
        abort(410)

    @app.get("/own")
    def own() -> Any:
        return "x", 200, {"x-request-id": "of-the-view"}


@pytest.mark.parametrize("sent", ["a", "0", "A.b_c-9", "x" * 128])
def test_a_harmless_id_is_kept(make_app: Any, sent: str) -> None:
    """1 to 128 characters of `[A-Za-z0-9._-]`; the view, the logs and the answer agree."""
    answer = make_app(_register).test_client().get("/id", headers={"X-Request-Id": sent})

    assert answer.headers.getlist("X-Request-Id") == [sent]
    assert answer.json == {"g": sent, "logs": sent}


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 129, "a/b", "é", "a\tb", "<script>", "a,b", "١"])
def test_any_other_id_is_replaced(make_app: Any, sent: str) -> None:
    """A caller cannot write into our logs."""
    headers = {"X-Request-Id": sent.encode().decode("latin-1")}
    answer = make_app(_register).test_client().get("/id", headers=headers)

    assert _NEW.fullmatch(answer.headers["X-Request-Id"])
    assert answer.json == {"g": answer.headers["X-Request-Id"], "logs": answer.headers["X-Request-Id"]}


@pytest.mark.slow
@given(st.text())
def test_an_id_is_always_safe_to_log_and_send(sent: str) -> None:
    """For any header: no line break, no excessive length, no letter of another script."""
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", choose_request_id(sent))


@pytest.mark.parametrize(
    ("method", "path", "status", "more"),
    [
        ("GET", "/id", 200, {}),
        ("HEAD", "/id", 200, {}),
        ("OPTIONS", "/id", 200, {}),
        ("GET", "/nothing", 404, {}),
        ("POST", "/id", 405, {}),
        ("GET", "/gone", 410, {}),
        ("POST", "/echo", 413, {"data": b"x" * 101}),
        ("POST", "/echo", 415, {"headers": {"Content-Encoding": "gzip"}}),
        ("GET", "/boom", 500, {}),
        ("GET", "/livez", 200, {}),
        ("GET", "/stream", 200, {}),
        ("GET", "/own", 200, {}),
        ("GET", "/metrics", 401, {}),
        ("GET", "/openapi.json", 200, {}),
    ],
)
def test_every_answer_carries_one_id(make_app: Any, method: str, path: str, status: int, more: dict[str, Any]) -> None:
    """Also those that no view has seen; and no answer is guessed to be of another type."""
    answer = make_app(_register, max_body_bytes=100).test_client().open(path, method=method, **more)

    assert answer.status_code == status
    assert len(answer.headers.getlist("X-Request-Id")) == 1
    assert _NEW.fullmatch(answer.headers["X-Request-Id"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_stream_logs_under_its_own_id(make_app: Any) -> None:
    """Its generator runs when the view has long returned."""
    answer = make_app(_register).test_client().get("/stream", headers={"X-Request-Id": "mine"})

    assert answer.text == "minemine"
    assert logs.request_id() == ""


def test_requests_in_parallel_never_swap_ids(make_app: Any) -> None:
    """Known of predecessors that kept the id in the environment."""
    app = make_app(_register, log_level="ERROR", rate_limit="off")

    def ask(number: int) -> bool:
        answer = app.test_client().get("/id", headers={"X-Request-Id": f"id-{number}"})
        return bool(answer.json == {"g": f"id-{number}", "logs": f"id-{number}"})

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


def test_nothing_is_left_bound_after_a_request(make_app: Any, lines: Any) -> None:
    """A line outside of any request has no id of the one before."""
    make_app(_register).test_client().get("/id")
    lines()

    logs.get_logger("x").info("later")

    assert "request_id" not in lines("later")[0]
