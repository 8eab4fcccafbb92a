"""Buffered handler: deliver records in the background to a handler that can fail, such as one of a log service."""

import copy
import logging
import os
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.logs.log_output import OUTPUT
from carboy.logs.stdlib import LineFormatter, UnlockedHandler, facts_of, message_of
from carboy.redact import MASK, is_secret_name, mask, mask_text
from carboy.retry import Retry

_LOGGER = "carboy.logs"
_ANSWERED_BY_WATCHTOWER = frozenset(
    {"DataAlreadyAcceptedException", "InvalidSequenceTokenException", "ResourceNotFoundException"}
)


class RetryHandler(UnlockedHandler):
    """Wraps a handler that can fail: tries again, after waits with full jitter that double up to a cap.

    Records wait in a bounded queue and are delivered by a thread of this handler's own. What finds the queue full, or
    fails to the end, is dropped and counted; the next delivered record is preceded by one with the count. An error that
    the wrapped handler hides in `handleError`, as those of the standard library do, counts as one; so does one that
    watchtower's handler hides, with its own queue or without. Records are masked; a wrapped handler without a formatter
    gets one that writes our lines.

    Args:
        handler: what delivers; its level, filters and formatter hold.
        max_retries: how often a record is tried again after the first failure.
        backoff_base: the first wait's upper bound in seconds.
        backoff_cap: the upper bound of any wait in seconds.
        ignore_errors: with False there is no queue: records are delivered, and waits spent, in the thread that
            logs, and the first error is raised when all tries have failed.
        queue_size: how many records wait at most.
        timeout_s: how long `flush` and `close` wait at most.
        clock: what waits between tries when `ignore_errors` is False.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    delivers_later = True

    def __init__(
        self,
        handler: logging.Handler,
        max_retries: int = 5,
        backoff_base: float = 0.1,
        backoff_cap: float = 1,
        ignore_errors: bool = True,
        *,
        queue_size: int = 10_000,
        timeout_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self.handler = handler
        self.max_retries = max_retries
        self.ignore_errors = ignore_errors
        self._policy = Retry(attempts=max_retries + 1, base_s=backoff_base, cap_s=backoff_cap)
        self._queue_size = queue_size
        self._timeout_s = timeout_s
        self._clock = clock
        self._caught = threading.local()
        self._handle_error = handler.handleError
        handler.handleError = self._catch  # type: ignore[method-assign]
        client = getattr(handler, "cwl_client", None)
        if hasattr(client, "put_log_events"):  # watchtower: it hides its client's errors, and never retries
            handler.cwl_client = _WatchedClient(client, self)  # type: ignore[attr-defined]
        if handler.formatter is None:
            handler.setFormatter(LineFormatter())
        self._start_fresh()
        _all_handlers.add(self)

    def _start_fresh(self) -> None:
        self._queue: deque[logging.LogRecord] = deque()
        self._changed = threading.Condition()  # over a lock that a signal handler's thread may already hold
        self._worker: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._stopping = False
        self._is_delivering = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Return how many records were dropped and not reported yet."""
        return self._dropped

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 (the name is logging's)
        """Set the formatter of the wrapped handler."""
        self.handler.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record for delivery; raises only when `ignore_errors` is False."""
        if record.levelno < self.handler.level:
            return
        if not self.ignore_errors:
            self._deliver_now(_prepared(record))
            return
        try:
            self._enqueue(_prepared(record))
        except Exception:  # noqa: BLE001 (a record that cannot even be copied)
            self._dropped += 1

    # In the thread that logs

    def _deliver_now(self, record: logging.LogRecord) -> None:
        first = error = self._try(record)
        for attempt in range(1, self.max_retries + 1):
            if error is None:
                return
            self._clock.sleep(self._policy.backoff_s(attempt))
            error = self._try(record)
        if error is not None and first is not None:
            raise first

    def _enqueue(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is self._worker:
            return  # what the delivery itself logs would never end
        with self._changed:
            if len(self._queue) >= self._queue_size:
                self._dropped += 1
                return
            if self._start_worker():
                self._queue.append(record)
                self._changed.notify_all()
                return
        self._deliver(record)

    def _start_worker(self) -> bool:
        if self._worker is None:
            self._stopping = False
            self._is_closing.clear()
            worker = threading.Thread(target=self._work, name="carboy-log-delivery", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the program is ending: no new threads
                return False
            self._worker = worker
        return True

    # In the thread that delivers

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                if not self._queue:
                    self._worker = None
                    self._changed.notify_all()
                    return
                record = self._queue.popleft()
                self._is_delivering = True
            self._deliver(record)
            with self._changed:
                self._is_delivering = False
                self._changed.notify_all()

    def _deliver(self, record: logging.LogRecord) -> None:
        for attempt in range(1, self.max_retries + 2):
            if self._report_dropped() and self._try(record) is None:
                return
            if attempt <= self.max_retries and self._is_closing.wait(self._policy.backoff_s(attempt)):
                break  # we are closing: no time for further tries
        with self._changed:
            self._dropped += 1

    def _report_dropped(self) -> bool:
        count = self._dropped
        if not count:
            return True
        report = logging.LogRecord(_LOGGER, logging.WARNING, "", 0, "log_lines_dropped", None, None)
        report.count = count
        if self._try(_prepared(report)) is not None:
            return False
        with self._changed:
            self._dropped -= count
        return True

    # In either

    def _try(self, record: logging.LogRecord) -> BaseException | None:
        self._caught.error = None
        self._caught.is_trying = True
        try:
            self.handler.handle(record)
        except Exception as error:  # noqa: BLE001 (whatever the wrapped handler raises)
            return error
        finally:
            self._caught.is_trying = False
        hidden: BaseException | None = self._caught.error
        return hidden

    def _catch(self, record: logging.LogRecord) -> None:
        if getattr(self._caught, "is_trying", False):
            self._caught.error = sys.exc_info()[1] or RuntimeError("the handler could not write the record")
        else:  # someone uses the wrapped handler without us
            self._handle_error(record)

    def send_batch(self, send: Callable[..., Any], batch: Mapping[str, Any]) -> Any:
        """Send a batch of watchtower's: from its own thread with our repeats, and counted when all were in vain."""
        is_trying = getattr(self._caught, "is_trying", False)
        for attempt in range(1, self.max_retries + 2):
            try:
                return send(**batch)
            except Exception as error:
                if type(error).__name__ in _ANSWERED_BY_WATCHTOWER:
                    raise
                if is_trying:  # in our own delivery: it repeats
                    self._caught.error = error
                    return {}
                if attempt <= self.max_retries and self._is_closing.wait(self._policy.backoff_s(attempt)):
                    break
        with self._changed:
            self._dropped += len(batch.get("logEvents", ()))
        return {}

    def flush(self) -> None:
        """Wait until what was logged so far is delivered or given up, at most the timeout; then flush the handler."""
        deadline = time.monotonic() + self._timeout_s
        with self._changed:
            while self._queue or self._is_delivering:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._worker is None or self._worker is threading.current_thread():
                    break
                self._changed.wait(left_s)
        self._quietly(self.handler.flush)

    def close(self) -> None:
        """Deliver what is left, at most within the timeout, and close the wrapped handler.

        The count of lost records is logged. A record that comes later is delivered if the wrapped handler still can.
        """
        self.flush()
        with self._changed:
            worker, self._stopping = self._worker, True
            self._dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        self._is_closing.set()
        if worker is not None and worker is not threading.current_thread():
            worker.join(self._timeout_s)
        if self._dropped:
            OUTPUT.emit("warning", _LOGGER, "log_lines_dropped", {"count": self._dropped})
            self._dropped = 0
        self._quietly(self.handler.close)
        super().close()

    @staticmethod
    def _quietly(what: Any) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 (an outage of the log service must not fail the program)
            OUTPUT.emit("warning", _LOGGER, "log_handler_failed", {"error": type(error).__name__})


class _WatchedClient:
    """The client of CloudWatch Logs that watchtower's handler calls; what its calls raise is not lost."""

    def __init__(self, client: Any, handler: RetryHandler) -> None:
        self._client, self._handler = client, handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_log_events(self, **batch: Any) -> Any:
        """Send a batch; see `RetryHandler.send_batch`."""
        return self._handler.send_batch(self._client.put_log_events, batch)


def _prepared(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy that holds no secret, and whose line is made: here the request id is known."""
    line = LineFormatter().format(record)
    ready = copy.copy(record)
    for name, value in facts_of(record).items():
        if name not in {"exc_info", "stack_info", "exception"}:
            vars(ready)[name] = MASK if is_secret_name(name) and value else mask(value)
    if record.exc_info and record.exc_info[1]:
        ready.exc_text = mask_text("".join(traceback.format_exception(record.exc_info[1])).rstrip())
    ready.msg, ready.args, ready.exc_info = mask_text(message_of(record)), None, None
    ready.carboy_line = line
    return ready


_all_handlers: "weakref.WeakSet[RetryHandler]" = weakref.WeakSet()


def _after_fork() -> None:
    for handler in list(_all_handlers):
        handler._start_fresh()


os.register_at_fork(after_in_child=_after_fork)
