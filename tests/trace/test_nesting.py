"""Each span is within the one that it was begun in, wherever its code runs."""

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.forks import exit_code, start_child
from tests.trace.kit import Daemon, read

from carboy import trace
from carboy.errors import UsageError
from carboy.testing import UdpListener


@trace.trace()
def inner(number: int = 0) -> int:
    return number


@trace.trace()
def outer() -> int:
    return inner(1) + inner(2)


def test_calls_nest(daemon: Daemon) -> None:
    """The segment is the outermost."""
    with trace.span("request") as request:
        assert outer() == 3

    one, two, around, segment = daemon.documents(4)
    assert one["parent_id"] == two["parent_id"] == around["id"]
    assert around["parent_id"] == segment["id"] == request.id
    assert {each["trace_id"] for each in (one, two, around, segment)} == {request.trace_id}
    assert "type" not in segment
    assert {each["type"] for each in (one, two, around)} == {"subsegment"}


def test_an_outermost_call_is_a_segment_of_its_own(daemon: Daemon) -> None:
    """As in a script, where there is no request; the next one is another trace."""
    outer()
    outer()

    documents = daemon.documents(6)
    assert "type" not in documents[2]
    assert "parent_id" not in documents[2]
    assert len({document["trace_id"] for document in documents}) == 2


def test_nothing_is_traced_before_it_is_set_up() -> None:
    """The functions do what they do."""
    assert outer() == 3
    assert trace.current_span() is None
    assert trace.begin_span("any") is None
    with trace.span("nothing") as span:
        span.annotate(a=1)
        assert outer() == 3


def test_threads_stay_within_what_started_them(daemon: Daemon) -> None:
    """Threads, and those of a pool; each task in the span that handed it over."""
    trace.instrument_threads()
    trace.instrument_threads()
    with ThreadPoolExecutor(2) as pool:
        with trace.span("first") as first:
            list(pool.map(inner, range(4)))
        with trace.span("second") as second:
            thread = threading.Thread(target=outer)
            thread.start()
            pool.submit(inner).result()
            thread.join()
        alone = pool.submit(trace.current_span).result()

    documents = daemon.documents(10)
    by_parent = [document.get("parent_id") for document in documents]
    assert by_parent.count(first.id) == 4
    assert by_parent.count(second.id) == 2
    assert alone is None


def test_a_thread_that_outlives_the_request_is_not_in_its_trace(daemon: Daemon) -> None:
    """A worker that a request happened to start would otherwise add to it for ever."""
    trace.instrument_threads()
    over = threading.Event()

    def work() -> None:
        over.wait()
        inner()

    with trace.span("request"):
        thread = threading.Thread(target=work)
        thread.start()
    over.set()
    thread.join()

    assert [document["name"] for document in daemon.documents(1)] == ["request"]


def test_threads_never_swap_their_spans(daemon: Daemon) -> None:
    """Fifty requests at once."""

    def request(number: int) -> None:
        with trace.span(f"request {number}"):
            outer()

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(request, range(50)))

    documents = {document["id"]: document for document in daemon.documents(200)}
    for document in documents.values():
        if parent := document.get("parent_id"):
            assert documents[parent]["trace_id"] == document["trace_id"]


def test_coroutines_nest(daemon: Daemon) -> None:
    """Also where they take turns."""

    @trace.trace()
    async def fetch(number: int) -> int:
        await asyncio.sleep(0)
        inner()
        return number

    @trace.trace()
    async def gather() -> list[int]:
        return list(await asyncio.gather(fetch(1), fetch(2), asyncio.to_thread(inner, 3)))

    assert asyncio.run(gather()) == [1, 2, 3]

    documents = daemon.documents(6)
    (around,) = [document for document in documents if document["name"] == "gather"]
    fetched = [document["id"] for document in documents if document["name"] == "fetch"]
    inside = [document["parent_id"] for document in documents if document["name"] == "inner"]
    assert [document["parent_id"] for document in documents if document["name"] == "fetch"] == [around["id"]] * 2
    assert sorted(inside) == sorted([*fetched, around["id"]])


def test_only_a_generators_own_steps_are_in_its_span(daemon: Daemon) -> None:
    """What its reader does between them is not."""

    @trace.trace()
    def numbers() -> Iterator[int]:
        yield inner(1)
        yield 2

    with trace.span("request") as request:
        for _ in numbers():
            outer()

    documents = daemon.documents(9)
    (generator,) = [document for document in documents if document["name"] == "numbers"]
    assert generator["parent_id"] == request.id
    assert [document["parent_id"] for document in documents if document["name"] == "outer"] == [request.id] * 2
    assert [document["name"] for document in documents if document.get("parent_id") == generator["id"]] == ["inner"]


def test_a_generator_stays_what_it_is(daemon: Daemon) -> None:
    """It takes values and errors, returns one, and is closed in time."""
    seen: list[object] = []

    @trace.trace()
    def talk() -> Iterator[object]:
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError as error:
                seen.append(error.args[0])
            yield 3
        finally:
            seen.append("closed")

    talking = talk()
    assert next(talking) == 1
    assert talking.send("a") == 2  # type: ignore[attr-defined]
    assert talking.throw(KeyError("b")) == 3  # type: ignore[attr-defined]
    talking.close()  # type: ignore[attr-defined]

    assert seen == ["a", "b", "closed"]
    (document,) = daemon.documents(1)
    assert "fault" not in document


def test_asynchronous_generators_nest(daemon: Daemon) -> None:
    """Their steps alone; one that is left early ends too."""

    @trace.trace()
    async def pages() -> AsyncIterator[int]:
        for number in range(9):
            inner()
            yield number

    async def read_some() -> None:
        reading = pages()
        async for number in reading:
            outer()
            if number == 1:
                break
        await reading.aclose()  # type: ignore[attr-defined]

    with trace.span("request") as request:
        asyncio.run(read_some())

    documents = daemon.documents(10)
    (generator,) = [document for document in documents if document["name"] == "pages"]
    inside = [document["name"] for document in documents if document.get("parent_id") == generator["id"]]
    assert inside == ["inner", "inner"]
    assert [document["parent_id"] for document in documents if document["name"] == "outer"] == [request.id] * 2


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_an_error_goes_through_and_is_recorded(daemon: Daemon, kind: str) -> None:
    """With its type, its message and its stack."""

    @trace.trace(name="work")
    def function() -> None:
        raise LookupError("no such order")

    @trace.trace(name="work")
    def generator() -> Iterator[int]:
        yield 1
        raise LookupError("no such order")

    @trace.trace(name="work")
    async def coroutine() -> None:
        raise LookupError("no such order")

    run: dict[str, Callable[[], object]] = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: asyncio.run(coroutine()),
    }
    with pytest.raises(LookupError):
        run[kind]()

    (document,) = daemon.documents(1)
    (told,) = document["cause"]["exceptions"]
    assert document["fault"] is True
    assert (told["type"], told["message"]) == ("LookupError", "no such order")
    assert told["stack"][0]["label"] == kind


def test_an_error_is_described_once(daemon: Daemon) -> None:
    """The spans around refer to it by its id."""

    @trace.trace()
    def breaks() -> None:
        raise ValueError("once")

    @trace.trace()
    def passes_on() -> None:
        breaks()

    with pytest.raises(ValueError, match="once"), trace.span("request"):
        passes_on()

    first, second, third = daemon.documents(3)
    assert second["cause"] == third["cause"] == first["cause"]["exceptions"][0]["id"]


def test_methods_are_traced_without_their_instance(daemon: Daemon) -> None:
    """And keep name and documentation; class and static methods too."""

    class Shop:
        @trace.trace()
        def sell(self, item: str) -> str:
            """Sell."""
            return item

        @classmethod
        @trace.trace()
        def open(cls, hour: int) -> int:
            return hour

        @staticmethod
        @trace.trace()
        def add(one: int, other: int) -> int:
            return one + other

    assert (Shop().sell("tea"), Shop.open(9), Shop.add(1, 2)) == ("tea", 9, 3)
    assert (Shop.sell.__name__, Shop.sell.__doc__) == ("sell", "Sell.")

    assert [document["metadata"]["args"] for document in daemon.documents(3)] == [["tea"], [9], [1, 2]]


def test_arguments_are_left_out_where_asked(daemon: Daemon) -> None:
    """And what sounds secret in any case."""

    @trace.trace(skip_args=True)
    def quiet(name: str) -> None: ...

    @trace.trace()
    def login(user: str, password: str, **more: object) -> None: ...

    quiet("alice")
    login("alice", "hunter2", api_key="k-1", size=3)

    first, second = daemon.documents(2)
    assert "metadata" not in first
    assert second["metadata"] == {"args": ["alice", "***"], "kwargs": {"api_key": "***", "size": 3}}


def test_a_forked_child_sends_spans_of_its_own() -> None:
    """With ids that the parent does not use."""
    with UdpListener() as listener:
        trace.setup("xray", daemon_address=listener.address)
        child = start_child(inner)
        inner()
        assert exit_code(child) == 0
        trace.reset()
        ids = [read(datagram)["id"] for datagram in listener.wait_for(2)]
    assert len(set(ids)) == 2


def test_a_span_may_end_in_another_context(daemon: Daemon) -> None:
    """As a streamed response's does, which one context advances and another closes; it is sent all the same."""

    def stream() -> Generator[int, None, None]:
        with trace.span("stream"):
            yield 1

    chunks = stream()
    contextvars.copy_context().run(next, chunks)
    contextvars.copy_context().run(chunks.close)

    assert [document["name"] for document in daemon.documents(1)] == ["stream"]
    assert trace.current_span() is None


def test_a_span_that_was_copied_into_a_context_is_left_there(daemon: Daemon) -> None:
    """What comes after it in that context is not within it."""
    span = trace.span("outer")
    entered = contextvars.copy_context()
    entered.run(span.__enter__)

    def leave() -> object:
        span.__exit__(None, None, None)
        return trace.current_span()

    assert entered.copy().run(leave) is None
    daemon.documents(1)


class Shelf:
    @trace.trace()
    @staticmethod
    def static_above(amount: int) -> int:
        return amount

    @trace.trace()
    @classmethod
    def of_class(cls, amount: int) -> tuple[type, int]:
        return cls, amount

    @trace.trace
    def bare(self, amount: int) -> int:
        return amount


class Adder:
    def __call__(self, one: int) -> int:
        return one + 1


def test_it_decorates_any_callable(daemon: Daemon) -> None:
    """Above `staticmethod` and `classmethod`, without parentheses, on partials, callable objects and builtins."""
    assert Shelf().static_above(1) == Shelf.static_above(2) - 1
    assert Shelf.of_class(3) == (Shelf, 3) == Shelf().of_class(3)
    assert Shelf().bare(4) == 4
    assert trace.trace()(functools.partial(pow, 2))(3) == 8
    assert trace.trace(Adder())(1) == 2
    assert trace.trace()(len)("abc") == 3

    names = [document["name"] for document in daemon.documents(8)]
    assert names == ["static_above", "static_above", "of_class", "of_class", "bare", "pow", "Adder", "len"]


@pytest.mark.parametrize("value", [property(lambda _self: 1), 5, None])
def test_what_cannot_be_called_is_refused_with_words(value: Any) -> None:
    """They name `@trace` and what to do."""
    with pytest.raises(UsageError, match="@trace") as raised:
        trace.trace()(value)
    assert "above `def`" in raised.value.hint
