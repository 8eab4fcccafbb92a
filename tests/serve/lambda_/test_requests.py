"""HTTP events become the request that the client sent, as it would be under a web server."""

from typing import Any

import pytest
from flask import Flask, request, url_for
from tests.serve.lambda_.apps import Recorder, seen

from carboy.serve import lambda_handler
from carboy.testing import events

HTTP: dict[str, Any] = {
    "rest-v1": events.rest_v1,
    "http-v1": events.http_v1,
    "http-v2": events.http_v2,
    "url": events.function_url,
    "alb": events.alb,
    "alb-multi": lambda *args, **rest: events.alb(*args, multi_value=True, **rest),
}
ENCODED = ["rest-v1", "url", "alb", "alb-multi"]
DECODED = ["http-v1", "http-v2"]
WITH_ADDRESS = ["rest-v1", "http-v1", "http-v2", "url"]


@pytest.fixture(params=list(HTTP))
def make(request: pytest.FixtureRequest) -> Any:
    """Every HTTP event in turn."""
    return HTTP[request.param]


def test_every_event_reaches_the_application_as_a_valid_request(make: Any) -> None:
    """Method, path, query, headers and body arrive."""
    environ = seen(make("POST", "/orders/7?a=1", headers=[("X-Test", "yes")], body=b'{"n":1}'))

    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["PATH_INFO"] == "/orders/7"
    assert environ["QUERY_STRING"] == "a=1"
    assert environ["HTTP_X_TEST"] == "yes"
    assert environ["body"] == b'{"n":1}'


def test_the_event_and_its_context_are_offered_to_the_application(make: Any) -> None:
    event, context, recorder = make(), events.LambdaContext(), Recorder()

    lambda_handler(recorder)(event, context)

    assert recorder.environ["lambda.event"] is event
    assert recorder.environ["lambda.context"] is context


def test_a_body_without_content_length_is_not_lost(make: Any) -> None:
    """HTTP/2 clients need not send a length; the application gets one all the same."""
    environ = seen(make("POST", body=b"x" * 10))

    assert environ["CONTENT_LENGTH"] == "10"
    assert environ["body"] == b"x" * 10


def test_the_length_is_that_of_the_bytes_not_of_their_base64(make: Any) -> None:
    environ = seen(make("POST", body=b"\xff\xfe\x00", headers=[("Content-Length", "4")], **_binary(make)))

    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["body"] == b"\xff\xfe\x00"
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_content_type_has_its_own_key(make: Any) -> None:
    environ = seen(make("POST", headers=[("Content-Type", "application/json")], body=b"{}"))

    assert environ["CONTENT_TYPE"] == "application/json"
    assert "HTTP_CONTENT_TYPE" not in environ


@pytest.mark.parametrize("kind", ["rest-v1", "http-v1", "http-v2", "url", "alb-multi"])
def test_repeated_request_headers_are_joined(kind: str) -> None:
    """A load balancer in single-value mode has dropped all but the last already."""
    environ = seen(HTTP[kind](headers=[("Accept", "text/html"), ("Accept", "text/plain")]))

    assert [part.strip() for part in environ["HTTP_ACCEPT"].split(",")] == ["text/html", "text/plain"]


@pytest.mark.parametrize("kind", ["rest-v1", "http-v1", "http-v2", "url", "alb-multi"])
def test_cookies_are_joined_by_semicolons(kind: str) -> None:
    environ = seen(HTTP[kind](headers=[("Cookie", "a=1"), ("Cookie", "b=2")]))

    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_cookies_that_come_twice_are_not_sent_twice() -> None:
    """Format 2.0 has a list of its own for them; a header beside it says the same."""
    event = events.http_v2(headers=[("Cookie", "a=1")])
    event["headers"]["cookie"] = "a=1"

    assert seen(event)["HTTP_COOKIE"] == "a=1"


def test_headers_that_differ_only_in_case_are_joined() -> None:
    event = events.rest_v1(headers=[("X-Test", "1"), ("x-test", "2")])

    assert seen(event)["HTTP_X_TEST"] == "1, 2"


@pytest.mark.parametrize(("sent", "arrives"), [("caf\xe9", b"caf\xe9"), ("你好", "你好".encode())])
def test_header_values_hold_one_character_for_each_byte(make: Any, sent: str, arrives: bytes) -> None:
    """Latin-1 stays latin-1, all else is UTF-8, as PEP 3333 wants."""
    environ = seen(make(headers=[("X-Name", sent)]))

    assert environ["HTTP_X_NAME"].encode("latin-1") == arrives


def test_a_header_with_an_underscore_cannot_pass_for_another(make: Any) -> None:
    """`X_Api_Key` and `X-Api-Key` would have the same key."""
    environ = seen(make(headers=[("X_Api_Key", "stolen")]))

    assert "HTTP_X_API_KEY" not in environ


@pytest.mark.parametrize("missing", [None, {}])
def test_null_headers_are_no_headers(make: Any, missing: Any) -> None:
    event = make()
    for name in ("headers", "multiValueHeaders"):
        if name in event:
            event[name] = missing

    assert "HTTP_HOST" not in seen(event)


@pytest.mark.slow
def test_many_header_names_do_not_fill_the_memory() -> None:
    """Clients choose the names, so what is kept of them has an end."""
    for number in range(3000):
        assert seen(events.rest_v1(headers=[(f"X-{number}", "1")]))[f"HTTP_X_{number}"] == "1"


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("a=1&a=2", "a=1&a=2"),
        ("empty=", "empty="),
        ("plus=1%2B1", "plus=1%2B1"),
        ("n%C3%A4me=v%C3%A4lue", "n%C3%A4me=v%C3%A4lue"),
        ("amp=%26%3D%23", "amp=%26%3D%23"),
        ("", ""),
    ],
)
def test_the_query_means_what_the_client_sent(sent: str, arrives: str) -> None:
    """Repeated names, empty values, plus signs and encoded delimiters survive every event that can carry them."""
    for kind, make in HTTP.items():
        if kind == "alb" and sent == "a=1&a=2":
            continue
        assert seen(make(url=f"/?{sent}"))["QUERY_STRING"] == arrives, kind


def test_a_space_in_the_query_stays_a_space() -> None:
    app = Flask("query")

    @app.get("/")
    def show() -> dict[str, Any]:
        return request.args.to_dict(flat=False)

    for kind, make in HTTP.items():
        for spelling in ("a+b", "a%20b"):
            answer = lambda_handler(app)(make(url=f"/?q={spelling}"))
            assert answer["body"] == '{"q":["a b"]}\n', kind


def test_parameters_in_single_form_are_taken_when_there_is_no_other() -> None:
    event = events.rest_v1(url="/?a=1")
    event["multiValueQueryStringParameters"] = None

    assert seen(event)["QUERY_STRING"] == "a=1"


@pytest.mark.parametrize("kind", ENCODED)
def test_an_encoded_path_is_decoded_once(kind: str) -> None:
    """`%2F` becomes a slash, as under gunicorn; `%2525` becomes `%25` and nothing more."""
    environ = seen(HTTP[kind](url="/a%2Fb/100%2525/%C3%A4"))

    assert environ["PATH_INFO"].encode("latin-1") == "/a/b/100%25/ä".encode()


@pytest.mark.parametrize("kind", DECODED)
def test_a_path_that_an_http_api_has_decoded_is_not_decoded_again(kind: str) -> None:
    environ = seen(HTTP[kind](url="/100%2525/%C3%A4"))

    assert environ["PATH_INFO"].encode("latin-1") == "/100%25/ä".encode()


@pytest.mark.parametrize("kind", ENCODED)
def test_the_path_as_sent_is_offered(kind: str) -> None:
    environ = seen(HTTP[kind](url="/a%2Fb?c=%20"))

    prefix = environ["SCRIPT_NAME"]
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == f"{prefix}/a%2Fb?c=%20"


@pytest.mark.parametrize("kind", DECODED)
def test_a_decoded_path_is_offered_encoded_again(kind: str) -> None:
    assert seen(HTTP[kind](url="/a%20b"))["REQUEST_URI"] == "/a%20b"


@pytest.mark.parametrize(
    "event",
    [
        events.rest_v1(url="/orders/7", stage="prod"),
        events.http_v1(url="/orders/7", stage="prod"),
        events.http_v2(url="/orders/7", stage="prod"),
    ],
)
def test_the_stage_is_where_the_application_is_mounted(event: dict[str, Any]) -> None:
    """So `url_for` gives addresses that work."""
    app = Flask("stage")

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        return url_for("order", number=number + 1, _external=True)

    answer = lambda_handler(app)(event)

    assert answer["body"] == "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/prod/orders/8"


@pytest.mark.parametrize("make_event", [events.http_v1, events.http_v2])
def test_a_stage_is_stripped_on_whole_segments_only(make_event: Any) -> None:
    event = make_event(url="/uct/1", stage="prod")
    for place in (event, event["requestContext"], event["requestContext"].get("http", {})):
        for key in ("path", "rawPath"):
            if key in place:
                place[key] = "/product/1"

    environ = seen(event)

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/product/1")


@pytest.mark.parametrize("make_event", [events.rest_v1, events.http_v1, events.http_v2])
def test_the_root_of_a_stage_is_a_slash(make_event: Any) -> None:
    environ = seen(make_event(url="/", stage="prod"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/prod", "/")


@pytest.mark.parametrize("path", ["/orders/7", "/orders/7/"])
def test_the_base_path_of_a_custom_domain_is_where_the_application_is_mounted(path: str) -> None:
    environ = seen(events.rest_v1(url=path, domain="api.example.org", base_path="/shop"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", path)
    assert environ["SERVER_NAME"] == "api.example.org"


@pytest.mark.parametrize("make_event", [events.rest_v1, events.http_v2])
def test_a_custom_domain_without_base_path_mounts_at_its_root(make_event: Any) -> None:
    environ = seen(make_event(url="/orders/7", domain="api.example.org"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/orders/7")


@pytest.mark.parametrize("path", ["/shop/orders/7", "/orders/7"])
@pytest.mark.parametrize("given", ["shop", "/shop", "/shop/"])
def test_a_base_path_that_no_event_names_can_be_given(path: str, given: str) -> None:
    """An HTTP API in format 2.0 never says where its domain mounts it."""
    event = events.http_v2(url=path, domain="api.example.org", base_path="/shop")

    environ = seen(event, base_path=given)

    assert event["rawPath"] == path
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/orders/7")


@pytest.mark.parametrize("make_event", [events.rest_v1, events.http_v1, events.http_v2])
@pytest.mark.parametrize("domain", ["", "api.example.org"])
def test_the_root_can_be_given_as_base_path(make_event: Any, domain: str) -> None:
    """What stands before a stage hides it from clients: CloudFront, or a custom domain's root."""
    event = make_event(url="/orders/7", stage="dev", domain=domain)

    environ = seen(event, base_path="/")

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/orders/7")


@pytest.mark.parametrize("kind", WITH_ADDRESS)
def test_the_clients_address_is_the_platforms_word(kind: str) -> None:
    """What a client writes into `X-Forwarded-For` is not believed."""
    environ = seen(HTTP[kind](headers=[("X-Forwarded-For", "6.6.6.6, 203.0.113.7")], source_ip="203.0.113.7"))

    assert environ["REMOTE_ADDR"] == "203.0.113.7"


@pytest.mark.parametrize("mode", [False, True])
@pytest.mark.parametrize(
    ("address", "expected"),
    [("203.0.113.7", "203.0.113.7"), ("203.0.113.7:4711", "203.0.113.7"), ("2001:db8::1", "2001:db8::1"),
     ("[2001:db8::1]:4711", "2001:db8::1")],
)  # fmt: skip
def test_a_load_balancer_appends_the_clients_address(mode: bool, address: str, expected: str) -> None:
    event = events.alb(headers=[("X-Forwarded-For", "6.6.6.6")], source_ip=address, multi_value=mode)

    assert seen(event)["REMOTE_ADDR"] == expected


def test_an_event_without_identity_has_an_empty_address() -> None:
    """Applications take it for granted that there is one."""
    event = events.rest_v1()
    del event["requestContext"]["identity"]

    assert seen(event)["REMOTE_ADDR"] == ""


def test_scheme_host_and_port_are_those_of_the_client(make: Any) -> None:
    environ = seen(make())

    assert environ["wsgi.url_scheme"] == "https"
    assert environ["SERVER_PORT"] == "443"
    assert environ["SERVER_NAME"] == environ["HTTP_HOST"]


def test_a_load_balancer_on_plain_http_says_so() -> None:
    environ = seen(events.alb(scheme="http", host="shop.example.org:8080"))

    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("shop.example.org", "8080")


def test_an_event_without_request_context_is_answered() -> None:
    """The console's test form sends little."""
    environ = seen({"httpMethod": "GET", "path": "/", "headers": None, "requestContext": None})

    assert environ["SERVER_NAME"] == "localhost"


def _binary(make: Any) -> dict[str, Any]:
    return {"binary": True} if make in {events.rest_v1, events.http_v1} else {}
