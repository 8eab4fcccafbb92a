"""A message that could not be delivered for now is sent again: once for each try, however often its failure is said."""

from collections.abc import Callable

import orjson
import pytest
from tests.lab.sms_providers import SmsProvider
from tests.services.sms.kit import MakeService, Service

StandIn = Callable[..., SmsProvider]
PASSING, FINAL = "IS_CLOSE", "MOBILE_NOT_ON_SERVICE"
TEXT = {"params": [], "text": "Hello", "aliyun": "SMS_1", "retry_undelivered": 2}
ONE = "+8613800000000"


def reports(service: Service, *given: tuple[str, str, str | None], code: str = PASSING) -> None:
    """Post Aliyun's reports: of a number, with its id and ours."""
    body = [
        {
            "phone_number": number.removeprefix("+86"),
            "success": code == "DELIVERED",
            "err_code": code,
            "biz_id": biz_id,
            **({"out_id": echo} if echo else {}),
        }
        for number, biz_id, echo in given
    ]
    assert service.client.post("/api/sms/receipts/aliyun/tok", data=orjson.dumps(body)).status_code == 200


def begin(make_service: MakeService, *stand_ins: SmsProvider) -> tuple[Service, str]:
    """Return a gateway that has sent one message, and the request's id."""
    service = make_service(*stand_ins, sms_templates={"x": TEXT}, sms_receipt_tokens="tok")
    answer = service.send(template="x", params={}).json
    assert answer is not None
    service.run_jobs()
    return service, answer["id"]


def poll(service: Service) -> None:
    """Let the job run that asks the provider."""
    service.clock.advance(60)
    service.run_jobs()


def test_a_temporary_failure_that_a_query_finds_is_sent_again_by_another_provider(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """As one that a delivery report says."""
    first, second = stand_in("aliyun", fault="cut", fault_calls=1, not_delivered=PASSING), stand_in("twilio")
    service, request = begin(make_service, first, second)
    assert service.message(request)["state"] == "unknown"
    poll(service)
    assert service.message(request)["state"] == "queued"
    service.run_jobs()
    found = service.message(request)
    assert (found["state"], found["provider"]) == ("sent", "twilio")
    assert (len(first.sent), len(second.sent)) == (1, 1)


def test_a_final_failure_that_a_query_finds_ends_the_message(stand_in: StandIn, make_service: MakeService) -> None:
    first, second = stand_in("aliyun", fault="cut", fault_calls=1, not_delivered=FINAL), stand_in("twilio")
    service, request = begin(make_service, first, second)
    poll(service)
    service.run_jobs()
    assert (service.message(request)["state"], service.message(request)["provider_code"]) == ("undelivered", FINAL)
    assert not second.sent


@pytest.mark.slow
def test_a_query_that_lists_only_the_try_before_says_nothing_of_the_last(
    stand_in: StandIn, make_service: MakeService
) -> None:
    """Both tries have our id; the failure of the first is no reason for a third."""
    provider = stand_in("aliyun", fault="cut", fault_calls=1, not_delivered=PASSING)
    service, request = begin(make_service, provider)
    poll(service)
    provider.tell(fault="cut", fault_calls=1)
    service.run_jobs()
    assert (service.message(request)["state"], len(provider.sent)) == ("unknown", 2)
    last = provider.sent.pop()  # which the provider does not list yet
    poll(service)
    assert service.message(request)["state"] == "unknown"
    provider.sent.append(last)
    provider.tell(fault=None, not_delivered="")
    service.clock.advance(3600)
    service.run_jobs()
    assert service.message(request)["state"] == "delivered"


@pytest.mark.parametrize("when", ["queued", "sent"])
@pytest.mark.parametrize("code", [PASSING, FINAL])
def test_a_report_that_is_repeated_is_one_failure(
    stand_in: StandIn, make_service: MakeService, when: str, code: str
) -> None:
    """Of a try that was sent again since, by the same provider: neither lost nor sent a third time."""
    provider = stand_in("aliyun")
    service, request = begin(make_service, provider)
    first = (ONE, provider.sent[0].provider_id, provider.sent[0].echo)
    reports(service, first)
    if when == "sent":
        service.run_jobs()
    reports(service, first, code=code)
    service.run_jobs()
    assert (service.message(request)["state"], len(provider.sent)) == ("sent", 2)
    reports(service, (ONE, provider.sent[1].provider_id, provider.sent[1].echo), code="DELIVERED")
    assert service.message(request)["state"] == "delivered"


def test_a_late_delivery_of_the_first_try_stops_the_second(stand_in: StandIn, make_service: MakeService) -> None:
    provider = stand_in("aliyun")
    service, request = begin(make_service, provider)
    first = (ONE, provider.sent[0].provider_id, provider.sent[0].echo)
    reports(service, first)
    reports(service, first, code="DELIVERED")
    service.run_jobs()
    assert (service.message(request)["state"], len(provider.sent)) == ("delivered", 1)


@pytest.mark.parametrize("echoes", [True, False])
def test_a_repeated_report_is_not_taken_for_another_receiver_s(
    stand_in: StandIn, make_service: MakeService, echoes: bool
) -> None:
    """Of a batch with one id for all: one receiver's message is sent again, and the other's is not."""
    provider = stand_in("aliyun")
    service = make_service(provider, sms_templates={"x": TEXT}, sms_receipt_tokens="tok")
    answer = service.send(template="x", params={}, receivers=[ONE, "+8613900000000"]).json
    assert answer is not None
    service.run_jobs()
    first = (ONE, provider.sent[0].provider_id, provider.sent[0].echo if echoes else None)
    for _ in range(3):
        reports(service, first)
        service.run_jobs()
    assert [one.receiver for one in provider.sent] == [ONE, "+8613900000000", ONE]
    found = service.client.get(f"/api/sms/{answer['id']}").json
    assert found is not None
    assert [one["state"] for one in found["messages"]] == ["sent", "sent"]


def test_a_code_s_second_try_goes_before_all_others(stand_in: StandIn, make_service: MakeService) -> None:
    """In the queue of its kind."""
    provider = stand_in("aliyun")
    template = {**TEXT, "params": ["code"], "otp": True}
    service = make_service(provider, sms_templates={"code": template}, sms_receipt_tokens="tok")
    assert service.post("/api/otp", {"receiver": ONE}).status_code == 202
    service.run_jobs()
    reports(service, (ONE, provider.sent[0].provider_id, None))
    [job] = service.held.jobs.store.list(state="queued", kind="sms.otp")
    assert job.attempts == 0
    service.run_jobs()
    assert [one.receiver for one in provider.sent] == [ONE, ONE]


def test_a_receiver_that_stands_twice_in_a_request_is_two_calls(stand_in: StandIn, make_service: MakeService) -> None:
    """A provider sends once to a number that a call has twice."""
    provider = stand_in("aliyun")
    service = make_service(provider, sms_templates={"x": TEXT})
    two = [{"receiver": ONE, "reference": "a"}, {"receiver": ONE, "reference": "b"}]
    answer = service.post("/api/sms", {"template": "x", "messages": two})
    assert answer.status_code == 202
    service.run_jobs()
    assert len({one.provider_id for one in provider.sent}) == 2
