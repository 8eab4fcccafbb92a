"""The gateway with several processes on one server: what it promises about counting holds for all of them together."""

import json
from collections import Counter

import pytest
from tests.journeys.kit import Gateway
from tests.journeys.zygote import eventually
from tests.lab.load import Call, run_load

pytestmark = pytest.mark.journey

TEMPLATES = """
[default.sms.templates.notice]
params = ["name"]
text = "Hello {name}"

[default.sms.templates.captcha]
params = ["code"]
otp = true
text = "Your code is {code}"
"""
HEADERS = {"Content-Type": "application/json"}


def _post(key: str, target: str, document: object, **headers: str) -> Call:
    return Call(key, "POST", target, json.dumps(document).encode(), HEADERS | headers)


def _text(number: int, **headers: str) -> Call:
    receiver = f"+86138{number:08d}"
    return _post(
        receiver, "/api/sms", {"receivers": receiver, "template": "notice", "params": {"name": "x"}}, **headers
    )


@pytest.fixture
def texts(shared_gateway: Gateway) -> Gateway:
    """A gateway of texts alone, which go into a file."""
    (shared_gateway.folder / "carboy.toml").write_text(TEMPLATES, "utf-8")
    shared_gateway.environ |= {"FLASK_MODULES": "carboy.services.sms", "FLASK_SMS_DAILY_BUDGET": "60"}
    return shared_gateway


def _sent(gateway: Gateway) -> Counter[str]:
    path = gateway.folder / "instance" / "sms-outbox.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return Counter(json.loads(line)["receiver"] for line in lines)


def test_keys_budgets_limits_and_codes_hold_for_all_processes(texts: Gateway) -> None:
    """Two processes that answer, two that work, and everything comes at the same moment."""
    web = texts.start("serve", "--port", "0", "--workers", "2", FLASK_JOBS_CONCURRENCY="0")
    workers = [texts.start("worker", says="Ctrl-C stops") for _ in range(2)]

    same = [_text(number, **{"Idempotency-Key": f"key-{number}"}) for number in range(10) for _ in range(8)]
    assert run_load(web.url, same, connections=8).statuses == {202: 80}

    report = run_load(web.url, [_text(number) for number in range(100, 170)], connections=8)
    assert report.statuses == {202: 50, 429: 20}  # ten of the sixty are used

    code = _post("otp", "/api/otp", {"receiver": "+8613900000000", "template": "captcha"})
    assert run_load(web.url, [code] * 8, connections=8).statuses == {429: 8}  # no budget is left
    eventually(lambda: sum(_sent(texts).values()) == 60, "all are sent")
    assert set(_sent(texts).values()) == {1}
    assert [one.stop() for one in (*workers, web)] == [0, 0, 0]


def test_a_receiver_gets_one_code_and_it_can_be_guessed_five_times(texts: Gateway) -> None:
    """Whichever process is asked."""
    web = texts.start("serve", "--port", "0", "--workers", "2", FLASK_SMS_DAILY_BUDGET="0")
    code = _post("otp", "/api/otp", {"receiver": "+8613900000000", "template": "captcha"})
    assert run_load(web.url, [code] * 12, connections=12).statuses == {202: 1, 429: 11}

    guesses = [
        _post(str(n), "/api/otp/verify", {"receiver": "+8613900000000", "template": "captcha", "code": f"{n:06d}x"[:6]})
        for n in range(30)
    ]
    statuses = run_load(web.url, guesses, connections=8).statuses
    assert statuses[422] >= 29
    [(tries_left,)] = texts.rows("SELECT tries_left FROM sms_codes")
    assert tries_left == 0
    assert web.stop() == 0


def test_a_caller_has_its_rate_once(texts: Gateway) -> None:
    """Not once for each process."""
    web = texts.start("serve", "--port", "0", "--workers", "3", FLASK_RATE_LIMIT="40/3600s")
    statuses = run_load(
        web.url, [Call(str(n), target="/api/sms/templates") for n in range(160)], connections=16
    ).statuses
    assert statuses.keys() == {200, 429}
    assert 30 <= statuses[200] <= 40
    assert web.stop() == 0
