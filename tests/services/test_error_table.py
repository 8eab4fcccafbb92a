"""Each status that the two services promise, with the document that every error is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from carboy import logs
from carboy.web import create_app, runtime
from carboy.web.auth.api_keys import SCOPES

ALERT, SMS, OTP = "/api/v1/s3/alert", "/api/sms", "/api/otp"
GOOD: dict[str, Any] = {"alerts": [{"id": "a1", "created_at": 1484661060000}]}
TEXT: dict[str, Any] = {"receivers": "+8613800000000", "template": "captcha", "params": {"code": "1"}}
RANGE = f"{ALERT}?start=2017-01-01T00:00:00Z&end=2018-01-01T00:00:00Z"
SNS = {"x-amz-sns-message-type": "Notification", "Content-Type": "text/plain"}
MANY = ",".join(f"+861380000{number:04}" for number in range(1001))

SHAPELESS: list[Any] = [{}, [], {"alerts": []}, {"alerts": {}}, {"alerts": [{}]}]
CHANGES: list[dict[str, Any]] = [
    {"template": "none"}, {"params": {}}, {"params": {"code": "1", "more": "2"}}, {"receivers": "12"},
    {"receivers": []}, {"receivers": MANY}, {"provider": "none"}, {"more": 1},
]  # fmt: skip
ROWS: list[tuple[int, str, str, Any, dict[str, str]]] = [
    *[
        (400, "POST", path, body, {})
        for path in (ALERT, SMS)
        for body in (b"", b"{", b"\xff", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 65 + b"]" * 65)
    ],
    *[(422, "POST", ALERT, body, {}) for body in SHAPELESS],
    *[
        (422, "POST", ALERT, {"alerts": [{"id": name, "created_at": at}]}, {})
        for name, at in (
            ("../x", 1), ("", 1), ("x" * 129, 1), ("x", -1), ("x", 253402300800000), ("x", 1.5), ("x", "y"),
        )
    ],
    (413, "POST", ALERT, b"x" * 1_048_577, {}),
    (413, "POST", SMS, b"x" * 1_048_577, {}),
    (415, "POST", ALERT, b"<a/>", {"Content-Type": "text/xml"}),
    (415, "POST", SMS, b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    *[(401, method, path, None, {"Authorization": ""}) for method, path in (("POST", ALERT), ("GET", RANGE))],
    *[(401, method, path, None, {"Authorization": ""}) for method, path in (("POST", SMS), ("GET", "/metrics"))],
    (401, "POST", ALERT, GOOD, {"Authorization": "Bearer cby_000000000000_nobody"}),
    *[(403, method, path, None, {"Authorization": "reader"}) for method, path in (("POST", ALERT), ("POST", SMS))],
    (403, "GET", "/api/jobs", None, {"Authorization": "reader"}),
    (403, "POST", ALERT, b'{"Type": "Notification"}', SNS),
    (422, "POST", f"{ALERT}?wait=31", GOOD, {}),
    (422, "POST", f"{ALERT}?wait=soon", GOOD, {}),
    (422, "GET", f"{ALERT}?start=2017-01-01T00:00:00&end=2018-01-01T00:00:00Z", None, {}),
    *[(422, "GET", f"{RANGE}&{more}", None, {}) for more in ("limit=0", "limit=1001", "cursor=%25", "other=1")],
    (404, "GET", f"{ALERT}/nobody", None, {}),
    (404, "POST", f"{ALERT}/nobody/replay", None, {}),
    (404, "POST", "/api/v1/webhooks/nobody", {}, {}),
    (404, "GET", "/nothing", None, {}),
    (405, "DELETE", ALERT, None, {}),
    *[(422, "POST", SMS, {**TEXT, **change}, {}) for change in CHANGES],
    *[(422, "POST", SMS, TEXT, {"Idempotency-Key": key}) for key in ("", "k" * 256)],
    (404, "GET", f"{SMS}/1", None, {}),
    *[(422, "GET", f"{SMS}{query}", None, {}) for query in ("/abc", "?state=none", "?since=yesterday", "?limit=0")],
    (404, "POST", f"{SMS}/receipts/nobody", {}, {}),
    (422, "POST", OTP, {"receiver": "12"}, {}),
    (422, "POST", f"{OTP}/verify", {"receiver": "+8613700000000", "code": "x"}, {}),
    (404, "POST", "/api/jobs/1/retry", None, {}),
    (422, "GET", "/api/jobs?state=none", None, {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FlaskClient, dict[str, str]]]:
    """Both services in one application, and two keys: one for all, one that reads texts only."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    app = create_app("test", folder=folder, auth="on")
    keys = runtime(app).keys.store
    yield app.test_client(), {"": keys.create("all", SCOPES)[1], "reader": keys.create("reader", ("sms:read",))[1]}
    runtime(app).close()
    logs.reset()


@pytest.mark.parametrize(("status", "method", "path", "body", "headers"), ROWS)
def test_each_error_has_its_status_and_its_document(
    gateway: tuple[FlaskClient, dict[str, str]], status: int, method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    """`problem+json` with the request's id; 401 says how to prove oneself, a wrong body what is wrong and where."""
    client, keys = gateway
    given = headers.get("Authorization")
    bearer = (
        {} if given == "" else {"Authorization": f"Bearer {keys[given or '']}" if given in keys or not given else given}
    )
    data = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
    sent = {"Content-Type": "application/json"} if data is not None else {}

    answer = client.open(path, method=method, data=data, headers={**sent, **headers, **bearer})

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    problem = orjson.loads(answer.data)
    assert (problem["status"], problem["success"], problem["instance"]) == (status, False, path.partition("?")[0])
    assert {"type", "title", "detail"} <= problem.keys()
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    if status == 422 and data is not None and "verify" not in path:
        assert all({"pointer", "detail"} == one.keys() for one in problem["errors"])
        assert problem["errors"]
