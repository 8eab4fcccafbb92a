"""The names that Fleece has and that do not stand in the list of its faults."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

import carboy.fleece
from carboy import logs, net
from carboy.fleece import authpolicy, events, log, raxauth, testing
from carboy.fleece.connexion import call_api, call_proxy_api, get_connexion_app
from carboy.fleece.httperror import HTTPError
from carboy.testing import Answer, Cut, LoopbackServer, json_answer


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    log.setup_root_logger(logging.INFO, stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.reset()


def test_every_module_is_found() -> None:
    """As an attribute of the package, too; an unknown name is an AttributeError."""
    assert all(getattr(carboy.fleece, name) for name in (*carboy.fleece.__all__, "connexion"))
    assert callable(call_api)
    assert callable(call_proxy_api)
    assert callable(get_connexion_app)
    with pytest.raises(AttributeError):
        _ = carboy.fleece.cli


def test_loggers_write_lines(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """With what is bound to them; values in the event's text too."""
    context = testing.LambdaContext(aws_request_id="r-1")
    logger = log.initial_trace_and_context_binds(log.getLogger("app"), "t-1", context)
    logger.info("handled %s", "well", size=3)
    logger.debug("below the level")

    (line,) = lines()
    assert (line["event"], line["logger"], line["size"], line["trace_id"]) == ("handled well", "app", 3, "t-1")
    assert line["lambda_context"]["aws_request_id"] == "r-1"
    assert line["lambda_context"]["function_name"] == "test_function"


def test_a_level_given_to_a_logger_counts() -> None:
    """It sets up the logs."""
    stream = io.StringIO()
    try:
        log.get_logger("app", level=logging.ERROR, stream=stream).warning("below")
        log.get_logger("app").error("above")
    finally:
        logs.reset()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["above"]


@pytest.mark.parametrize("logger", [None, logging.getLogger("app")])
def test_calls_are_logged(lines: Callable[[], list[dict[str, Any]]], logger: Any) -> None:
    """With what they returned; the function keeps its name."""

    @log.logme(level=logging.INFO, logger=logger)
    def add(one: int, other: int) -> int:
        return one + other

    assert add(1, 2) == 3
    assert add.__name__ == "add"
    entered, left = lines()
    assert (entered["event"], left["event"], left["result"]) == ("call_entered", "call_left", 3)


def test_a_policy_is_built() -> None:
    """By Fleece's arguments; conditions have statements of their own."""
    policy = authpolicy.AuthPolicy("123456789012", "alice", {"team": "a"}, "api", "eu-central-1", "prod")
    policy.allow_method(authpolicy.HttpVerb.GET, "/orders/*")
    policy.deny_method("DELETE", "orders/1")
    policy.allow_method_with_conditions("POST", "/orders", {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})

    built = policy.build()
    arn = "arn:aws:execute-api:eu-central-1:123456789012:api/prod"
    statements = built["policyDocument"]["Statement"]
    assert (built["principalId"], built["context"]) == ("alice", {"team": "a"})
    assert [(one["Effect"], one["Resource"]) for one in statements] == [
        ("Allow", [f"{arn}/GET/orders/*"]),
        ("Deny", [f"{arn}/DELETE/orders/1"]),
        ("Allow", [f"{arn}/POST/orders"]),
    ]
    assert statements[2]["Condition"] == {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}


@pytest.mark.parametrize(
    ("region", "start"),
    [(None, "arn:aws:execute-api:*:1:*/*/*/"), ("cn-north-1", "arn:aws-cn:"), ("us-gov-west-1", "arn:aws-us-gov:")],
)
def test_everything_can_be_allowed_or_denied_in_every_partition(region: str | None, start: str) -> None:
    """Fleece knew one partition."""
    for all_methods in (authpolicy.AuthPolicy.allow_all_methods, authpolicy.AuthPolicy.deny_all_methods):
        policy = authpolicy.AuthPolicy("1", region=region)
        all_methods(policy)
        assert policy.build()["policyDocument"]["Statement"][0]["Resource"][0].startswith(start)


def test_a_policy_that_cannot_be_is_a_name_error() -> None:
    """As there."""
    policy = authpolicy.AuthPolicy("1")
    with pytest.raises(NameError):
        policy.build()
    with pytest.raises(NameError):
        policy.allow_method("FETCH", "/")
    with pytest.raises(NameError):
        policy.deny_method("GET", "/a b")


def test_an_error_says_its_status() -> None:
    """An unknown status too."""
    assert str(HTTPError(404, "no such order")) == "404: Not Found - no such order"
    assert str(HTTPError()) == "500: Internal Server Error"
    assert HTTPError(599).status_code == 599


def test_a_token_is_checked(loopback: LoopbackServer) -> None:
    """What is known of it comes as `userinfo`, where that is asked for; it cannot lead elsewhere."""
    loopback.script(json_answer({"access": {"user": "alice"}}))

    @raxauth.authenticate(f"{loopback.url}/v2.0/tokens/{{token}}")
    def handler(token: str, userinfo: Any = None) -> Any:
        return userinfo

    assert handler(token="a/../b", userinfo=None) == {"access": {"user": "alice"}}
    assert loopback.requests[0].target == "/v2.0/tokens/a%2F..%2Fb"
    assert handler.__name__ == "handler"


@pytest.mark.parametrize(
    ("step", "status"), [(Answer(404), 401), (Answer(401), 401), (Answer(500), 503), (Cut(), 503), (Answer(200), 503)]
)
def test_a_token_that_is_not_valid_is_distinguished_from_an_unavailable_service(
    loopback: LoopbackServer, step: Answer | Cut, status: int
) -> None:
    """Fleece answered 401 to both; no message holds the token."""
    loopback.script(*[step] * 3)
    with pytest.raises(HTTPError) as raised:
        raxauth.validate("hunter2", f"{loopback.url}/{{token}}")
    assert raised.value.status_code == status
    assert "hunter2" not in str(raised.value)
    with pytest.raises(HTTPError, match="401"):
        raxauth.authenticate()(print)()


def test_events_are_made_and_read() -> None:
    """Each part merged into the default, or in its place."""
    context = testing.LambdaContext(client_context={"a": 1}, remaining_time_in_milli=5)
    made = testing.LambdaRequestGenerator(testing.LambdaEvent(operation="orders:get"), context)
    request = made.generate_request(gateway={"http-method": "post"}, requestor={"user": "alice"})

    assert request["operation"] == "orders:get"
    assert request["gateway"]["http-method"] == "post"
    assert request["gateway"]["stage"] == "test_stage"
    assert request["header"]["X-Auth-Token"] == request["header"]["x-auth-token"]
    assert (request["requestor"]["user"], request["requestor"]["source-ip"]) == ("alice", "127.0.0.1")
    assert request["context"]["client_context"] == {"a": 1}
    assert request["context"]["get_remaining_time_in_millis"] == 5
    assert events.format_event({}, context)["gateway"] == {}
    assert testing.LambdaEvent().generate(merge_with_default=False)["parameters"]["request"]["header"] == {}


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("requests", ["Session", "codes", "exceptions", "Retry", "HTTPAdapter", "HTTPError", "Timeout", "get"]),
        ("boto3", ["client", "resource", "Session", "Config", "setup_default_session"]),
        ("log", ["get_logger", "getLogger", "RetryHandler", "clobber_root_handlers", "logme"]),
        ("xray", ["get_trace_id", "trace_xray_subsegment", "XRayDaemonNotFoundError"]),
        ("connexion", ["call_api", "RESPONSE_CONTRACT_VIOLATION"]),
        ("testing", ["LambdaEvent", "LambdaContext"]),
        ("handlers.wsgi", ["wsgi_handler", "build_wsgi_environ_from_event"]),
    ],
)
def test_an_import_of_everything_brings_the_names(module: str, names: list[str]) -> None:
    """`from fleece.requests import *` is what some projects have."""
    found = import_module(f"carboy.fleece.{module}")

    assert [name for name in names if name not in found.__all__ or not hasattr(found, name)] == []


def test_the_session_of_an_import_of_everything_has_time_outs() -> None:
    found = import_module("carboy.fleece.requests")

    assert found.Session is net.Session
    assert found.session is net.Session
