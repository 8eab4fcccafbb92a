"""Queues, topics, schedules and authorizers call what was registered for them."""

from typing import Any

import pytest
from flask import Flask
from tests.serve.lambda_.apps import Recorder, seen

from carboy.errors import InvalidInput, Missing, UsageError
from carboy.serve import AuthPolicy, Events, lambda_handler, on_event
from carboy.serve.lambda_.authorizer import Unauthorized
from carboy.testing import events


def failed(answer: dict[str, Any]) -> list[str]:
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def ids(event: dict[str, Any]) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


def test_a_batch_comes_back_only_where_it_failed() -> None:
    registry, seen = Events(), []

    @registry.on("sqs", "jobs")
    def work(record: dict[str, Any]) -> None:
        seen.append(record["body"])
        if record["body"] == "bad":
            raise ValueError("bad")

    event = events.sqs("one", "bad", "two")
    answer = lambda_handler(Recorder(), events=registry)(event, events.LambdaContext())

    assert seen == ["one", "bad", "two"]
    assert failed(answer) == [ids(event)[1]]


def test_after_a_failure_a_fifo_group_comes_back_in_order() -> None:
    """A message must not overtake the one that failed before it."""
    registry, seen = Events(), []

    @registry.on("sqs")
    def work(record: dict[str, Any]) -> None:
        seen.append(record["body"])
        if record["body"] == "bad":
            raise ValueError("bad")

    event = events.sqs("one", "bad", "two", "other", queue="jobs.fifo")
    event["Records"][3]["attributes"]["MessageGroupId"] = "2"
    answer = lambda_handler(Recorder(), events=registry)(event, events.LambdaContext())

    assert seen == ["one", "bad", "other"]
    assert failed(answer) == ids(event)[1:3]


def test_messages_for_which_there_is_no_time_come_back() -> None:
    registry = Events()
    registry.on("sqs")(lambda record: None)

    event = events.sqs("one", "two")
    answer = lambda_handler(Recorder(), events=registry)(event, events.LambdaContext(timeout_s=0.4))

    assert failed(answer) == ids(event)


def test_a_runner_of_jobs_gets_the_whole_batch() -> None:
    event = events.sqs("one", "two")

    answer = lambda_handler(Recorder(), on_sqs=lambda records: [records[1]["messageId"]])(event)

    assert failed(answer) == [ids(event)[1]]


def test_functions_of_an_application_are_found_by_kind_and_name() -> None:
    app, calls = Flask("events"), []
    on_event(app, "sns", "alerts")(lambda message: calls.append(("alerts", message["Message"])))
    on_event(app, "sns", "other")(lambda message: calls.append(("other", message["Message"])))
    on_event(app, "schedule", "nightly")(lambda event: calls.append(("nightly", event["time"])))
    on_event(app, "eventbridge", source="shop", detail_type="paid")(lambda event: event["detail"])
    handler = lambda_handler(app)

    handler(events.sns("hello", topic="alerts"))
    handler(events.schedule("nightly"))
    detail = handler(events.eventbridge("paid", "shop", {"order": 7}))

    assert calls == [("alerts", "hello"), ("nightly", "2026-01-02T12:45:07Z")]
    assert detail == {"order": 7}


@pytest.mark.slow
def test_an_application_of_carboys_has_the_decorator(carboy_app: Any) -> None:
    calls = []

    def sweep(event: dict[str, Any]) -> str:
        calls.append(event["source"])
        return "swept"

    carboy_app.on_event("schedule")(sweep)
    handler = lambda_handler(carboy_app)

    assert handler(events.schedule()) == "swept"
    assert calls == ["aws.events"]
    assert handler(events.http_v2(url="/livez"), events.LambdaContext())["statusCode"] == 200


def test_an_event_that_nothing_handles_is_an_error_that_says_so() -> None:
    """Lambda tries it again, and its dead-letter queue keeps it."""
    with pytest.raises(Missing, match="kind `sns` from `alerts`") as caught:
        lambda_handler(Recorder())(events.sns(topic="alerts"))

    assert '@app.on_event("sns")' in caught.value.hint


@pytest.mark.parametrize("event", [{"zebra": 1, "apple": 2}, {"Records": []}, {"Records": [{"eventSource": "x"}]}])
def test_an_unknown_event_is_named_by_its_keys(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        lambda_handler(Recorder())(event)

    assert all(f"`{key}`" in str(caught.value) for key in event)


@pytest.mark.parametrize("event", [None, [], "text", 7])
def test_what_is_no_object_is_refused(event: Any) -> None:
    with pytest.raises(InvalidInput, match=type(event).__name__):
        lambda_handler(Recorder())(event)


def test_any_other_event_can_have_a_function_too() -> None:
    registry = Events()
    registry.on("other", job="sweep")(lambda event: {"did": event["job"]})

    assert lambda_handler(Recorder(), events=registry)({"job": "sweep"}) == {"did": "sweep"}


def test_there_is_no_function_for_a_kind_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="carrier-pigeon"):
        Events().on("carrier-pigeon")  # type: ignore[arg-type]


def test_an_authorizers_policy_is_what_api_gateway_reads() -> None:
    registry = Events()

    @registry.on("authorizer")
    def authorize(event: dict[str, Any]) -> AuthPolicy:
        policy = AuthPolicy.for_event(event, "user-7", {"plan": "gold"})
        address = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
        return policy.allow("GET", "/orders/*").deny("DELETE").allow("POST", "/orders", address)

    answer = lambda_handler(Recorder(), events=registry)(events.authorizer_token())

    api = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod"
    assert answer == {
        "principalId": "user-7",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": [f"{api}/GET/orders/*"]},
                {"Action": "execute-api:Invoke", "Effect": "Deny", "Resource": [f"{api}/DELETE/*"]},
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": [f"{api}/POST/orders"],
                    "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
                },
            ],
        },
        "context": {"plan": "gold"},
    }


def test_a_policy_without_rules_denies_everything() -> None:
    statement = AuthPolicy.for_event(events.authorizer_request(), "nobody").build()["policyDocument"]["Statement"]

    assert [(each["Effect"], each["Resource"][0][-6:]) for each in statement] == [("Deny", "prod/*/*"[-6:])]


@pytest.mark.parametrize(("path", "expected"), [("/orders/7", True), ("/orders/secret", False), ("/users", False)])
def test_a_simple_response_says_whether_this_request_is_allowed(path: str, expected: bool) -> None:
    policy = AuthPolicy.for_event(events.authorizer_v2("GET", path), "user-7", {"plan": "gold"})

    answer = policy.allow("GET", "/orders/*").deny("*", "/orders/secret").build_simple()

    assert answer == {"isAuthorized": expected, "context": {"plan": "gold"}}


@pytest.mark.parametrize("decision", [True, False])
def test_yes_or_no_is_enough_for_an_authorizer(decision: bool) -> None:
    registry = Events()
    registry.on("authorizer")(lambda event: decision)
    handler = lambda_handler(Recorder(), events=registry)

    policy = handler(events.authorizer_request())["policyDocument"]["Statement"][0]["Effect"]

    assert handler(events.authorizer_v2()) == {"isAuthorized": decision}
    assert policy == ("Allow" if decision else "Deny")


def test_an_unknown_caller_is_answered_401() -> None:
    """API Gateway does so when the error says exactly this."""
    registry = Events()
    registry.on("authorizer")(lambda event: None)

    with pytest.raises(Unauthorized) as caught:
        lambda_handler(Recorder(), events=registry)(events.authorizer_token())

    assert str(caught.value) == "Unauthorized"


def test_a_policy_refuses_what_api_gateway_would() -> None:
    policy = AuthPolicy.for_event(events.authorizer_token(), "user", {"groups": ["a"]})

    with pytest.raises(UsageError, match="FETCH"):
        policy.allow("FETCH")
    with pytest.raises(UsageError, match="is no path"):
        policy.allow("GET", '/a" or 1')
    with pytest.raises(UsageError, match="groups"):
        policy.allow().build()
    with pytest.raises(UsageError, match="conditions"):
        policy.allow("GET", "/", {"Bool": {"aws:SecureTransport": "true"}}).build_simple()


@pytest.mark.parametrize(
    "change",
    [
        {"requestContext": {"http": {}}},
        {"requestContext": {"http": None}},
        {"requestContext": {"http": "GET"}},
        {"headers": [["a", "b"]]},
        {"body": 5},
        {"body": "a", "isBase64Encoded": True},
        {"cookies": [None]},
    ],
)
def test_a_request_whose_parts_are_not_as_aws_sends_them_is_not_understood(change: dict[str, Any]) -> None:
    """Such as a test event that was written by hand: the error says so, and names the kind."""
    with pytest.raises(InvalidInput, match="http-v2"):
        lambda_handler(Recorder())({**events.http_v2(), **change})


@pytest.mark.parametrize("headers", [{"x-a": None, "x-b": "b"}, {"x-a": None, "x-b": 5}])
def test_headers_of_an_event_made_by_hand_are_read(headers: dict[str, Any]) -> None:
    many = {"x-a": None, "x-b": [headers["x-b"]]}

    for event in ({**events.http_v2(), "headers": headers}, {**events.rest_v1(), "multiValueHeaders": many}):
        environ = seen(event)
        assert "HTTP_X_A" not in environ
        assert environ["HTTP_X_B"] == str(headers["x-b"])


def test_what_only_looks_like_an_event_is_not_understood() -> None:
    for event in ({"requestContext": "x"}, {"Records": [{"EventSource": "aws:sns"}]}):
        with pytest.raises(InvalidInput):
            lambda_handler(Recorder())(event)
