"""The request id is on every line of its request, and on no other."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Generator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from tests.logs.kit import Lines

from carboy import logs

log = logs.get_logger("app")


def test_a_request_id_is_on_our_lines_and_the_libraries(lines: Lines) -> None:
    """Inside of the block, and not after it, also when it ends by an error."""
    with suppress(ValueError), logs.request_context("r-1", tenant="t"):
        assert logs.request_id() == "r-1"
        log.info("a")
        logging.getLogger("lib").info("b")
        with logs.request_context(step=2):
            log.info("c")
        with logs.request_context("r-2"):
            log.info("d")
        raise ValueError("x")
    log.info("e")

    assert logs.request_id() == ""
    assert [(one.get("request_id"), one.get("tenant"), one.get("step")) for one in lines.read_all] == [
        ("r-1", "t", None),
        ("r-1", "t", None),
        ("r-1", "t", 2),
        ("r-2", "t", None),
        (None, None, None),
    ]


def test_a_request_id_can_be_bound_and_taken_back(lines: Lines) -> None:
    """For hooks that have no `with` block around the request."""
    token = logs.bind_request_id("r-1")
    log.info("a")
    logs.reset_request_id(token)
    log.info("b")

    assert [one.get("request_id") for one in lines.read_all] == ["r-1", None]


@pytest.mark.slow
def test_a_hundred_threads_never_swap_ids(lines: Lines) -> None:
    """Each line has the id of the thread that wrote it."""
    start = threading.Barrier(100)

    def work(number: int) -> None:
        start.wait()
        for _ in range(20):
            with logs.request_context(f"r-{number}"):
                log.info("a", number=number)
                logging.getLogger("lib").info("b", extra={"number": number})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lines.read_all) == 4000
    assert all(one["request_id"] == f"r-{one['number']}" for one in lines.read_all)


def test_tasks_of_one_loop_never_swap_ids(lines: Lines) -> None:
    """The same for coroutines that take turns."""

    async def work(number: int) -> None:
        with logs.request_context(f"r-{number}"):
            for _ in range(5):
                await asyncio.sleep(0)
                log.info("a", number=number)

    async def all_of_them() -> None:
        await asyncio.gather(*(work(number) for number in range(20)))

    asyncio.run(all_of_them())

    ours = [one for one in lines.read_all if one["logger"] == "app"]
    assert len(ours) == 100
    assert all(one["request_id"] == f"r-{one['number']}" for one in ours)


def test_new_ids_differ_and_fit_the_header() -> None:
    """They are 32 hexadecimal digits."""
    ids = {logs.new_request_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)


@pytest.mark.parametrize(
    ("event", "context", "ids"),
    [
        (
            {"requestContext": {"requestId": "api"}},
            SimpleNamespace(aws_request_id="lam"),
            {"request_id": "api", "api_request_id": "api", "lambda_request_id": "lam"},
        ),
        ({"Records": []}, SimpleNamespace(aws_request_id="lam"), {"request_id": "lam", "lambda_request_id": "lam"}),
        ({"requestContext": None}, None, {}),
        ([1], SimpleNamespace(), {}),
    ],
)
def test_lambdas_ids_are_on_every_line_of_the_call(lines: Lines, event: Any, context: Any, ids: dict[str, str]) -> None:
    """And left over for no other event; any event and context will do."""

    @logs.inject_request_ids
    def handler(event: Any, context: Any) -> str:
        """Say so."""
        log.info("inside")
        return "answer"

    assert handler(event, context) == "answer"
    log.info("outside")

    inside, outside = lines.read_all
    assert {name: value for name, value in inside.items() if name.endswith("request_id")} == ids
    assert "request_id" not in outside
    assert handler.__doc__ == "Say so."


def test_a_context_may_end_in_another_context(lines: Lines) -> None:
    """As a generator's does that one context advances and another closes."""

    def stream() -> Generator[int, None, None]:
        with logs.request_context(request_id="r-1"):
            yield 1

    chunks = stream()
    contextvars.copy_context().run(next, chunks)
    contextvars.copy_context().run(chunks.close)
    bound = contextvars.copy_context().run(logs.bind_request_id, "r-2")
    logs.reset_request_id(bound)
    logs.reset_request_id(bound)

    log.info("after")
    assert "request_id" not in lines.last


def test_what_structlog_binds_ends_with_the_request(lines: Lines) -> None:
    """The next request on the thread does not have it; what was bound before stays."""
    structlog.contextvars.bind_contextvars(service="shop")
    try:
        for user in ("mallory", None):
            with logs.request_context(request_id="r"):
                if user:
                    structlog.contextvars.bind_contextvars(user=user, service="other")
                log.info("inside")
        bound = logs.bind_request_id("r-2")
        structlog.contextvars.bind_contextvars(user="eve")
        logs.reset_request_id(bound)
        log.info("outside")
    finally:
        structlog.contextvars.clear_contextvars()

    assert [(line.get("user"), line["service"]) for line in lines.read_all] == [
        ("mallory", "other"),
        (None, "shop"),
        (None, "shop"),
    ]
