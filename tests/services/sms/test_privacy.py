"""Numbers and codes stay out of logs, URLs, responses and the database, also in the providers' own words."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, Service

from carboy.services.sms.numbers import mask_digits
from carboy.services.sms.providers import Message, Outcome, Request, Response
from carboy.services.sms.transport import _hide
from carboy.testing import Answer, LoopbackServer, json_answer

StandIn = Callable[..., SmsProvider]
NUMBER, CODE = "+8613812345678", "987654"
TALKATIVE = [
    ("aliyun", "isv.MOBILE_NUMBER_ILLEGAL"),
    ("aliyun", "isp.SYSTEM_ERROR"),
    ("aws", "ConflictException/DESTINATION_PHONE_NUMBER_OPTED_OUT"),
    ("aws", "AccessDeniedException"),
    ("sns", "InvalidParameter"),
    ("tencent", "InvalidParameterValue.IncorrectPhoneNumber"),
    ("tencent", "UnauthorizedOperation"),
    ("twilio", "21211"),
    ("twilio", "21606"),
    ("twilio", "20003"),
    ("twilio", "99999"),
]


def _dump(service: Service, *tables: str) -> str:
    with service.held.engine.connect() as connection:
        return "".join(str(connection.execute(text(f"SELECT * FROM {one}")).all()) for one in tables)  # noqa: S608


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), TALKATIVE)
def test_a_provider_s_words_are_masked_everywhere(
    stand_in: StandIn, make_service: MakeService, kind: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its stand-in repeats number, text and parameters in its message."""
    provider = stand_in(kind, code=code)
    service = make_service(provider, log_level="DEBUG")
    sent = service.send(receivers=NUMBER, template="captcha", params={"code": CODE})
    assert sent.json is not None
    for _ in range(3):
        service.run_jobs()
        service.clock.advance(120)
    shown = "".join(service.client.get(path).text for path in ("/api/sms", f"/api/sms/{sent.json['id']}"))
    logged = capsys.readouterr().out
    assert "sms" in logged
    for leaked in (NUMBER[1:], NUMBER[3:], CODE):
        assert leaked not in shown
        assert leaked not in sent.text
        assert leaked not in logged
        assert leaked not in "".join(provider.state.targets)
    with service.held.engine.connect() as connection:
        words = connection.execute(text("SELECT words FROM sms_messages")).scalar() or ""
    assert NUMBER[3:] not in words
    assert CODE not in words


def test_a_direct_send_s_502_is_masked(stand_in: StandIn, make_service: MakeService) -> None:
    """The response to `?wait` has the provider's words too."""
    service = make_service(stand_in("twilio", code="21211"))
    engine = service.held.jobs.engine
    assert engine is not None
    engine.start()
    answer = service.send("/api/sms?wait=10", receivers=NUMBER)
    assert answer.status_code == 502
    assert NUMBER[3:] not in answer.text


def test_words_and_parameters_go_with_the_retention(stand_in: StandIn, make_service: MakeService) -> None:
    """After SMS_RETENTION neither the number, nor the code, nor the words are in any table."""
    provider = stand_in("aliyun", code="isv.DAY_LIMIT_CONTROL")
    service = make_service(provider, sms_retention="2h", sms_receipt_tokens="tok")
    service.send(receivers=NUMBER, template="captcha", params={"code": CODE})
    service.run_jobs()
    report = [{"phone_number": NUMBER[3:], "biz_id": "9", "success": False, "err_msg": f"空号 {NUMBER} {CODE}"}]
    assert service.post("/api/sms/receipts/aliyun/tok", report).status_code == 200
    tables = ("sms_requests", "sms_messages", "sms_receipts", "sms_codes", "sms_budgets")
    assert NUMBER[3:] not in _dump(service, "sms_receipts")
    service.clock.advance(3 * 3600)
    service.send(receivers="+8613900000000")
    service.run_jobs()
    left = _dump(service, *tables)
    assert NUMBER[1:] not in left
    assert f'"{CODE}"' not in left
    assert "空号" not in left


def test_a_provider_s_own_errors_show_no_values(
    stand_in: StandIn, make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class that raises with the number in its text is logged by type and place."""

    class Clumsy:
        def build_request(self, message: Message, account: object) -> Request:
            raise ValueError(f"cannot send {message.receivers[0]}: {message.text}")

        def read_response(self, response: Response) -> Outcome:
            return Outcome("accepted")

    from dataclasses import replace

    service = make_service(stand_in("twilio"))
    dispatcher = service.gateway.dispatcher
    route = dispatcher.routes["twilio"]
    clumsy = replace(route, transport=replace(route.transport, provider=Clumsy()))  # type: ignore[type-var]
    dispatcher.routes["twilio"] = clumsy  # type: ignore[index]
    assert service.sent_now(receivers=NUMBER)["state"] == "failed"
    logged = capsys.readouterr().out
    assert "sms_request_not_built" in logged
    assert NUMBER[3:] not in logged


@pytest.mark.slow
@given(
    st.from_regex(r"\+[1-9][0-9]{9,14}", fullmatch=True),
    st.from_regex(r"[0-9]{4,10}", fullmatch=True),
    st.sampled_from(["{n}", "to {n}: code {c}", "'{c}' {n}", "%2B{d}", "number={d}&code={c}", "{d}{c}"]),
)
def test_no_words_keep_a_number_or_a_code(number: str, code: str, form: str) -> None:
    """With any text around them."""
    message = Message(("1",), (number,), text=f"Your code is {code}", params=(("code", code),))
    words = _hide(form.format(n=number, d=number[1:], c=code), message)
    assert number[1:] not in words
    assert code not in words


@pytest.mark.parametrize(
    "written", ["138-1234-5678", "138 1234 5678", "(138) 12345678", "0086 138 1234 5678", "１３８１２３４５６７８"]
)
def test_a_number_is_masked_however_it_is_written(written: str) -> None:
    assert "1234" not in mask_digits(f"invalid: {written}").replace(" ", "").replace("-", "")


@pytest.mark.parametrize("code", [f"to {NUMBER}", f"isv.{NUMBER[1:]}", f"bad {CODE}", "x" * 40 + " Zaphod", NUMBER])
def test_a_code_that_is_more_than_a_code_is_masked(
    make_service: MakeService, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider may put its words where its codes are."""
    account = {"twilio_account_sid": "AC1", "twilio_auth_token": "secret", "twilio_from": "+14155550100"}
    with LoopbackServer(json_answer({"code": code, "message": ""}, 400)) as server:
        service = make_service(sms_provider="twilio", twilio_url=server.url, **account)
        message = service.sent_now(receivers=NUMBER, params={"name": "Zaphod", "day": CODE})
    assert message["state"] == "unknown"
    said = capsys.readouterr().out + str(message) + _dump(service, "sms_attempts") + message["provider_code"]
    for leaked in (NUMBER[3:], CODE, "Zaphod"):
        assert leaked not in said


def test_a_waiting_call_back_shows_no_address(make_service: MakeService) -> None:
    """Lists of jobs show arguments, and an address may have a token in it."""
    with LoopbackServer(Answer(204)) as server:
        url = f"{server.url}/hook?token=abc123"
        service = make_service(sms_callback_hosts="127.0.0.1")
        message = service.sent_now(receivers=NUMBER, callback_url=url)
        assert message["state"] == "sent"
        assert "abc123" not in _dump(service, "carboy_jobs")
        service.run_jobs()
        assert [one.target for one in server.requests] == ["/hook?token=abc123"]
