"""The handler that AWS Lambda calls: the edge between its events and the application."""

import random
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from time import time
from typing import Any

from carboy.config.environ import live_environ
from carboy.errors import InvalidInput
from carboy.events import Events
from carboy.extension import find_extension
from carboy.logs import BoundLogger, bind_ids, deliver_waiting, get_logger
from carboy.logs.log_context import lambda_ids
from carboy.problems import CONTENT_TYPE, Problem, render_problem
from carboy.serve.lambda_ import alb, http_v2, rest_v1
from carboy.serve.lambda_.application import make_application
from carboy.serve.lambda_.deadline import DeadlineReached, process_watchdog
from carboy.serve.lambda_.event_types import SqsRunner, kind_of
from carboy.serve.lambda_.responses import Answer, answer_alb, answer_v1, answer_v2, run_wsgi
from carboy.serve.lambda_.snapshot import call_after_restore, renew_application
from carboy.serve.lambda_.wsgi_environ import Environ, mount

log: BoundLogger = get_logger("carboy.serve.lambda")

_HTTP: Mapping[str, tuple[Callable[..., Environ], Callable[..., dict[str, Any]]]] = {
    "rest-v1": (rest_v1.read_request, answer_v1),
    "http-v2": (http_v2.read_request, answer_v2),
    "alb": (alb.read_request, answer_alb),
}


class LambdaHandler:
    """A function for AWS Lambda's runtime to call with events; `lambda_handler` is its name in `carboy.serve`.

    Args:
        application: a factory without arguments, which is called at once, a WSGI application or an ASGI application.
        events: functions for events other than HTTP requests; by default those of `app.on_event(...)`.
        on_sqs: works on the SQS batches that no function is registered for: gets the records, returns the `messageId`
            of those that are to come back. By default what the job engine `sqs` does.
        base_path: where a custom domain mounts the application, such as `/orders`, or `/` for its root. An HTTP API in
            payload format 2.0 never names it; without it, what the other events name counts.
        deadline_margin_ms: how long before Lambda's deadline a request is given up and answered 504.
        on_restore: called when SnapStart restores a copy; seeds and connections are renewed already.

    Raises:
        UsageError: the application is neither WSGI nor ASGI nor a factory.
    """

    def __init__(
        self,
        application: Any,
        *,
        events: Events | None = None,
        on_sqs: SqsRunner | None = None,
        base_path: str = "",
        deadline_margin_ms: int = 500,
        on_restore: Iterable[Callable[[], None]] = (),
    ) -> None:
        self.application: Any
        self.application, interface = make_application(application)
        extension = find_extension(self.application)
        self._run = _bridge(self.application) if interface == "asgi" else self.application
        self._events = events or (extension.find(Events) if extension else None) or Events()
        self._on_sqs = on_sqs or (extension.on_sqs if extension else None)
        self._base_path = "/" + base_path.strip("/") if base_path else ""
        self._margin_ms = deadline_margin_ms
        self._environ = live_environ()
        self._is_on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in self._environ  # elsewhere the trace's id is not set
        self._is_cold = True
        self._watchdog = process_watchdog()
        self._on_restore = tuple(on_restore)
        call_after_restore(self.restore)

    def __call__(self, event: Any, context: Any = None) -> Any:
        """Answer an event; what is bound to the log meanwhile ends with it.

        Raises:
            Missing: nothing is registered for an event that is no HTTP request.
            InvalidInput: the type of the event is unknown, or its parts are not as AWS sends them.
        """
        try:
            return copy_context().run(self._answer, event, context)
        finally:
            deliver_waiting()  # Lambda now stops the clock

    def restore(self) -> None:
        """Renew what a copy must not share with the others of its snapshot, then call `on_restore`.

        An error ends the restore, as a function with stale credentials must not run.
        """
        random.seed()
        renew_application(self.application)
        for callback in self._on_restore:
            callback()

    def sources(self, kind: str) -> list[str]:
        """Return the names of the queues, topics or rules that functions are registered for."""
        return self._events.names(kind)

    def close(self) -> None:
        """End the lifespan of an ASGI application; other applications hold nothing here."""
        if self._run is not self.application:
            self._run.close()

    def _answer(self, event: Any, context: Any) -> Any:
        kind = kind_of(event)
        bind_ids({**lambda_ids(event, context), "cold_start": self._is_cold})
        self._is_cold = False
        http = _HTTP.get(kind)
        if http is None:
            from carboy.serve.lambda_.batch_events import answer_event  # most functions never need it

            return answer_event(
                kind, event, self._events, self._on_sqs, lambda: _remaining_ms(context) > self._margin_ms
            )
        read_request, render_answer = http
        try:
            environ = read_request(event, context)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"it looks like one of the kind `{kind}`, whose parts are not as AWS sends them"
            raise InvalidInput("the event is not understood", why, "see `carboy lambda invoke --sample`") from error
        if self._base_path:
            mount(environ, self._base_path.rstrip("/"))
        if self._is_on_lambda:
            environ["lambda.trace_id"] = self._environ.get("_X_AMZN_TRACE_ID", "")
        try:
            left_ms = _remaining_ms(context) - self._margin_ms
            answer = self._watchdog.run(run_wsgi, self._run, environ, left_ms / 1000)
        except DeadlineReached:
            log.error("deadline_near", method=environ["REQUEST_METHOD"], path=environ["PATH_INFO"])
            answer = _problem(504, "The time of the function was nearly over; the request was stopped.", environ)
        except Exception:
            log.exception("request_failed", method=environ["REQUEST_METHOD"], path=environ["PATH_INFO"])
            answer = _problem(500, "The request could not be answered because of an error in the service.", environ)
        return render_answer(answer, environ)


lambda_handler: type[LambdaHandler] = LambdaHandler


def _bridge(application: Any) -> Any:
    from carboy.serve.lambda_.asgi import AsgiBridge  # asyncio takes long to import

    return AsgiBridge(application)


_UNLIMITED = float("inf")


def _remaining_ms(context: Any) -> float:
    """Return how long Lambda lets this event run; unlimited when its context does not say."""
    try:
        return context.get_remaining_time_in_millis()  # type: ignore[no-any-return]
    except AttributeError:
        return _UNLIMITED


def _problem(status: int, detail: str, environ: Environ) -> Answer:
    request = environ["lambda.event"].get("requestContext") or {}
    request_id = environ.get("HTTP_X_REQUEST_ID") or request.get("requestId") or ""
    request_id = request_id or getattr(environ["lambda.context"], "aws_request_id", "") or f"{time():.6f}"
    problem = Problem(status, detail)
    body = render_problem(problem, environ["SCRIPT_NAME"] + environ["PATH_INFO"], request_id)
    headers = [("Content-Type", CONTENT_TYPE), ("X-Request-Id", request_id), ("Cache-Control", "no-store")]
    return f"{status} {problem.what}", headers, body
