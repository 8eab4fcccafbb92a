"""A slow or unavailable log service neither delays a request nor fails it, and lost lines are counted."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.forks import exit_code, start_child
from tests.logs.kit import Lines

from carboy import logs
from carboy.logs import RetryHandler
from carboy.redact import Secret


class Service(logging.Handler):
    """Records delivered lines; fails a number of times, raising or hiding the error, and can stall."""

    def __init__(self, failures: float = 0, *, hides: bool = False) -> None:
        super().__init__()
        self.failures = failures
        self.hides = hides
        self.tries = 0
        self.texts: list[str] = []
        self.threads: set[str] = set()
        self.answers = threading.Event()
        self.answers.set()
        self.flushed = 0
        self.is_closed = False

    def emit(self, record: logging.LogRecord) -> None:
        self.answers.wait(10)
        self.tries += 1
        self.threads.add(threading.current_thread().name)
        try:
            if self.tries <= self.failures:
                raise ConnectionError("away")
            self.texts.append(self.format(record))
        except ConnectionError:
            if not self.hides:
                raise
            self.handleError(record)

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.is_closed = True
        super().close()

    @property
    def events(self) -> list[str]:
        return [json.loads(text)["event"] for text in self.texts]


class Naps:
    """A clock that notes how long it was asked to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


log = logging.getLogger("retried")


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    log.propagate = False
    log.setLevel("DEBUG")
    yield
    for handler in log.handlers[:]:
        log.removeHandler(handler)
        handler.close()


def wrap(service: Service, **options: object) -> RetryHandler:
    handler = RetryHandler(service, backoff_base=0.001, backoff_cap=0.002, **options)  # type: ignore[arg-type]
    log.addHandler(handler)
    return handler


@pytest.mark.parametrize("hides", [False, True])
def test_a_record_is_tried_again_until_it_gets_through(hides: bool) -> None:
    """Also when the handler hides its error in `handleError`, as those of the standard library do."""
    service = Service(failures=4, hides=hides)
    handler = wrap(service)

    log.warning("hello %s", "you")
    handler.flush()

    assert (service.events, service.tries, service.flushed) == (["hello you"], 5, 1)
    assert service.threads == {"carboy-log-delivery"}


@pytest.mark.parametrize("hides", [False, True])
def test_what_is_dropped_is_reported_in_the_next_line(hides: bool) -> None:
    """With its count; the caller hears nothing."""
    service = Service(failures=9, hides=hides)
    handler = wrap(service, max_retries=2)

    for number in range(4):
        log.warning("event %d", number)
    handler.flush()

    assert service.events == ["log_lines_dropped", "event 3"]
    assert json.loads(service.texts[0])["count"] == 3
    assert handler.dropped == 0


def test_a_service_that_stalls_blocks_no_caller() -> None:
    """The queue is bounded; what finds it full is dropped and counted."""
    service = Service()
    handler = wrap(service, queue_size=10)
    service.answers.clear()

    started_s = time.monotonic()
    for number in range(1000):
        log.warning("event %d", number)
    assert time.monotonic() - started_s < 5  # the service answers after 10
    service.answers.set()
    handler.flush()

    delivered = [event for event in service.events if event != "log_lines_dropped"]
    assert delivered[:10] == [f"event {number}" for number in range(10)]
    assert len(delivered) in {10, 11}  # the thread may take one from the queue before it is full
    told = [json.loads(text)["count"] for text in service.texts if "log_lines_dropped" in text]
    assert sum(told) + handler.dropped + len(delivered) == 1000


def test_errors_are_raised_on_request() -> None:
    """In the thread that logs, after all tries and their waits, the first error."""
    service, clock = Service(failures=float("inf")), Naps()
    handler = RetryHandler(service, max_retries=3, backoff_base=0.1, backoff_cap=0.2, ignore_errors=False, clock=clock)
    log.addHandler(handler)

    with pytest.raises(ConnectionError, match="away"):
        log.warning("x")

    assert service.tries == 4
    assert len(clock.slept) == 3
    assert all(0 <= slept <= bound for slept, bound in zip(clock.slept, (0.1, 0.2, 0.2), strict=True))
    assert service.threads == {threading.current_thread().name}
    service.failures = 0
    log.warning("y")
    assert service.events == ["y"]


def test_waits_have_full_jitter() -> None:
    """Anything from nothing to the bound: clients that failed together do not come back together."""
    clock = Naps()
    handler = RetryHandler(Service(failures=float("inf")), 1, 1.0, 1.0, False, clock=clock)
    log.addHandler(handler)
    for _ in range(200):
        with pytest.raises(ConnectionError):
            log.warning("x")

    assert min(clock.slept) < 0.1
    assert max(clock.slept) > 0.9


def test_closing_delivers_what_is_left() -> None:
    """And closes the wrapped handler; a record that comes later still is delivered."""
    service = Service(failures=2)
    handler = wrap(service)
    for number in range(100):
        log.warning("event %d", number)
    handler.close()

    assert service.events == [f"event {number}" for number in range(100)]
    assert service.is_closed
    log.warning("later")
    handler.flush()
    assert service.events[-1] == "later"


def test_flushing_and_closing_are_bounded_when_the_service_is_away(lines: Lines) -> None:
    """A program ends although its log service does not respond; the rest is dropped and counted."""
    service = Service(failures=float("inf"))
    handler = RetryHandler(service, max_retries=1000, backoff_base=100, backoff_cap=100, timeout_s=0.5)
    log.addHandler(handler)
    log.warning("x")
    log.warning("y")

    started_s = time.monotonic()
    handler.flush()
    handler.close()

    assert lines.last == lines.last | {"logger": "carboy.logs", "event": "log_lines_dropped", "count": 2}
    assert time.monotonic() - started_s < 5
    assert service.is_closed


def test_the_wrapped_handler_keeps_its_level_filters_and_formatter() -> None:
    """Only a handler without a formatter gets Carboy's."""
    service = Service()
    service.setLevel("ERROR")
    service.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    service.addFilter(lambda record: "no" not in record.getMessage())
    handler = wrap(service)

    log.warning("a")
    log.error("no")
    log.error("b")
    handler.flush()

    assert service.texts == ["ERROR b"]
    assert handler.dropped == 0


def test_a_line_is_made_in_the_thread_that_logs() -> None:
    """With the request id of its request, the values of that moment, and no secret, with any formatter."""
    ours, theirs = Service(), Service()
    theirs.setFormatter(logging.Formatter("%(message)s %(d)s %(password)s"))
    handlers = [wrap(ours), wrap(theirs)]
    changing = {"a": 1, "token": "abc123"}

    with logs.request_context("r-1"):
        try:
            raise ValueError("password=hunter2")
        except ValueError:
            log.exception(
                "url https://u:hunter2@h/ %s", Secret("hunter2"), extra={"d": changing, "password": "hunter2"}
            )
    changing["a"] = 2
    for handler in handlers:
        handler.flush()

    line = json.loads(ours.texts[0])
    assert (line["request_id"], line["d"]) == ("r-1", {"a": 1, "token": "***"})
    assert line["exception"]["message"] == "password=***"
    assert theirs.texts[0].startswith("url https://u:***@h/ *** {'a': 1, 'token': '***'} ***\nTraceback")
    assert "hunter2" not in ours.texts[0] + theirs.texts[0]


def test_our_own_events_reach_a_handler_of_the_root_logger(lines: Lines) -> None:
    """Once each, as the very line that is written to the stream."""
    service = Service()
    handler = RetryHandler(service)
    logging.root.addHandler(handler)

    logs.get_logger("app").info("order_shipped", order_id=17)
    logging.getLogger("lib").info("hello")
    handler.close()

    assert service.events == ["order_shipped", "hello"]
    assert json.loads(service.texts[0]) == lines.read_all[0]


def test_what_the_delivery_logs_itself_is_not_delivered() -> None:
    """Else one record would make the next for ever."""

    class Chatty(Service):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            log.warning("delivered one")

    service = Chatty()
    handler = wrap(service)
    log.warning("x")
    handler.flush()

    assert service.events == ["x"]


def test_the_wrapped_handler_can_still_be_used_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Then its errors go where they went."""
    service = Service(failures=1, hides=True)
    wrap(service)

    service.handle(logging.makeLogRecord({"msg": "x"}))

    assert "ConnectionError: away" in capsys.readouterr().err


def test_a_forked_child_delivers_its_own_records_only() -> None:
    """The parent's queue is the parent's; the child starts a thread of its own."""
    service = Service()
    handler = wrap(service)
    service.answers.clear()
    log.warning("parent's")

    def work() -> None:
        service.answers.set()
        log.warning("child's")
        handler.flush()
        assert service.events == ["child's"]

    code = exit_code(start_child(work))
    service.answers.set()
    handler.flush()

    assert code == 0
    assert service.events == ["parent's"]


def test_lambda_delivers_before_its_clock_is_stopped(lines: Lines) -> None:
    """Else the last lines of a call would wait for the next one."""
    service = Service()
    logging.root.addHandler(RetryHandler(service))

    @logs.inject_request_ids
    def handler(event: object, context: object) -> None:
        logs.get_logger("app").info("inside")

    handler({}, None)

    assert service.events == ["inside"]


def test_many_threads_log_at_once() -> None:
    """None waits for another's delivery, none is lost."""
    service = Service()
    handler = wrap(service)
    threads = [threading.Thread(target=lambda: [log.warning("x") for _ in range(100)]) for _ in range(10)]  # type: ignore[func-returns-value]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.close()

    assert len(service.events) == 1000


@pytest.mark.parametrize("use_queues", [False, True])
@pytest.mark.parametrize("failures", [2, 100])
def test_watchtowers_hidden_errors_are_repeated_and_counted(use_queues: bool, failures: int) -> None:
    """It drops a batch with a warning; wrapped, nothing is lost silently, with its own queue or without."""
    watchtower = pytest.importorskip("watchtower")

    class Logs:
        """CloudWatch Logs as its client shows it, away for some calls."""

        def __init__(self) -> None:
            self.left, self.events = failures, list[str]()

        class exceptions:  # noqa: N801 (as botocore has it)
            class DataAlreadyAcceptedException(Exception): ...

            class InvalidSequenceTokenException(Exception): ...

            class ResourceNotFoundException(Exception): ...

            ResourceAlreadyExistsException = OperationAbortedException = ResourceNotFoundException

        def __getattr__(self, name: str) -> Any:
            return lambda **_: {}

        def put_log_events(self, **batch: Any) -> dict[str, str]:
            if self.left > 0:
                self.left -= 1
                raise ConnectionError("away")
            self.events += [event["message"] for event in batch["logEvents"]]
            return {"nextSequenceToken": "1"}

    service = Logs()
    inner = watchtower.CloudWatchLogHandler(
        log_group_name="orders", boto3_client=service, use_queues=use_queues, send_interval=1, create_log_group=False
    )
    inner.setFormatter(logs.LineFormatter())
    handler = RetryHandler(inner, max_retries=3, backoff_base=0.001, backoff_cap=0.002)
    record = logging.makeLogRecord({"name": "shop", "levelno": 20, "msg": "order_shipped"})

    handler.handle(record)
    handler.flush()

    if failures == 2:
        assert ['"event":"order_shipped"' in event for event in service.events] == [True]
        assert handler.dropped == 0
    else:
        assert handler.dropped == 1
        service.left = 0
        handler.handle(record)
        handler.flush()
        assert any("log_lines_dropped" in event and '"count":1' in event for event in service.events)
    handler.close()
