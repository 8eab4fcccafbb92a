"""Clients under many threads, after a fork, and against an AWS that fails."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any, Literal

import pytest
from tests.forks import exit_code, start_child

from carboy.aws import client, resource, set_default_timeout
from carboy.aws.clients import forget
from carboy.errors import Throttled, Unreachable
from carboy.testing import Answer, Cut, LoopbackServer, Stall, json_answer


@pytest.fixture(autouse=True)
def _own_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    forget()
    yield
    set_default_timeout(None)
    forget()


def tables(url: str, **options: Any) -> Any:
    return client("dynamodb", endpoint_url=url, **options)


def test_threads_that_ask_at_once_get_one_client(loopback: LoopbackServer) -> None:
    """From one session; making several at once is what boto3 cannot."""
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: tables(loopback.url), range(64)))

    assert len({id(one) for one in made}) == 1


@pytest.mark.slow
def test_threads_share_a_client(loopback: LoopbackServer) -> None:
    """Each call gets its own answer."""
    with LoopbackServer(lambda request: json_answer({"Table": {"TableName": request.json()["TableName"]}})) as server:
        made = tables(server.url)

        def ask(number: int) -> bool:
            return bool(made.describe_table(TableName=f"t{number:03}")["Table"]["TableName"] == f"t{number:03}")

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(100)))


@pytest.mark.slow
def test_a_forked_child_has_clients_of_its_own(loopback: LoopbackServer) -> None:
    """The parent's connections stay the parent's."""
    loopback.script(*[json_answer({"TableNames": []})] * 3)
    tables(loopback.url).list_tables()

    assert exit_code(start_child(lambda: tables(loopback.url).list_tables())) == 0
    tables(loopback.url).list_tables()
    assert [request.connection for request in loopback.requests] == [1, 2, 1]


@pytest.mark.parametrize("step", [Answer(500, b"{}"), Cut("start"), Cut("start", reset=True)])
def test_what_may_pass_is_tried_three_times(loopback: LoopbackServer, step: Answer | Cut) -> None:
    """In all; the caller may say otherwise."""
    loopback.script(step, step, json_answer({"TableNames": []}))
    assert tables(loopback.url).list_tables()["TableNames"] == []
    assert len(loopback.requests) == 3

    loopback.script(step)
    with pytest.raises(Exception, match=r"."):
        tables(loopback.url, attempts=1).list_tables()
    assert len(loopback.requests) == 4


def test_a_throttle_that_lasts_is_reported(loopback: LoopbackServer) -> None:
    """After the tries that there are."""
    loopback.script(*[json_answer({"__type": "ThrottlingException", "message": "slow down"}, 400)] * 2)

    with pytest.raises(Throttled):
        tables(loopback.url, attempts=2).list_tables()
    assert len(loopback.requests) == 2


@pytest.mark.slow
def test_the_default_time_out_holds_for_clients_and_resources(loopback: LoopbackServer) -> None:
    """A stall ends with it."""
    set_default_timeout(0.1)
    loopback.script(Stall(), Stall("body"))

    with pytest.raises(Unreachable):
        tables(loopback.url, attempts=1).list_tables()
    with pytest.raises(Unreachable):
        list(resource("dynamodb", endpoint_url=loopback.url, attempts=1).tables.all())


@pytest.mark.parametrize("place", ["headers", "body"])
@pytest.mark.parametrize("body", [b'{"TableNames": ["orders"]}', b"{}"])
def test_a_cut_answer_is_tried_again_and_then_reported(
    loopback: LoopbackServer, place: Literal["headers", "body"], body: bytes
) -> None:
    """Botocore alone takes what came for the whole: no tables."""
    cut, whole = Cut(place, Answer(200, body)), json_answer({"TableNames": ["orders"]})
    loopback.script(cut, cut, whole)
    assert tables(loopback.url).list_tables()["TableNames"] == ["orders"]

    loopback.script(cut)
    with pytest.raises(Unreachable, match="cut"):
        tables(loopback.url, attempts=1).list_tables()


@pytest.mark.slow
def test_an_object_that_is_cut_is_no_object(loopback: LoopbackServer) -> None:
    """However it is read; and one that is whole comes whole."""

    def opened(answer: Answer | Cut) -> Any:
        loopback.script(answer)
        return client("s3", endpoint_url=loopback.url, attempts=1).get_object(Bucket="b", Key="k")["Body"]

    whole = Answer(200, b"0123456789" * 1000)
    assert opened(whole).read() == whole.body
    with pytest.raises(Unreachable):
        opened(Cut("headers", whole))
    for read in (lambda body: body.read(), lambda body: list(body.iter_chunks(100)), list):
        with pytest.raises(Unreachable, match="s3:GetObject on `b/k`"):
            read(opened(Cut("body", whole)))
    with opened(Cut("body", whole)) as raw, pytest.raises(Exception, match="IncompleteRead"):
        raw.read()


@pytest.mark.slow
def test_a_response_that_ends_in_its_headers_leaves_no_socket_open(loopback: LoopbackServer) -> None:
    """Also while the error, and with it the frame that has the response, is alive."""
    loopback.script(Cut("headers", Answer(200, b"0123456789" * 1000)))

    with pytest.raises(Unreachable) as caught:
        client("s3", endpoint_url=loopback.url, attempts=1).get_object(Bucket="b", Key="k")

    found = [one for one in gc.get_objects() if isinstance(one, HTTPResponse)]
    assert [one for one in found if not one.isclosed()] == [], caught


@pytest.mark.slow
def test_an_answer_without_a_body_is_whole(loopback: LoopbackServer) -> None:
    """S3 answers 204 to a delete, and no body to a head."""
    loopback.script(Answer(204), Answer(200, b"x" * 10))
    objects = client("s3", endpoint_url=loopback.url, attempts=1)

    objects.delete_object(Bucket="b", Key="k")
    assert objects.head_object(Bucket="b", Key="k")["ContentLength"] == 10
