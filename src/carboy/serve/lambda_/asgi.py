"""Run an ASGI application by Mangum's protocol cycles, on the requests that WSGI applications get.

Mangum's own reading of events is not used: what a request is does not depend on the application's interface. The
lifespan begins in Lambda's initialisation and lasts as long as the process.

Source: the ASGI specification 3.0, "HTTP & WebSocket".
"""

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from typing import Any

from carboy.errors import CarboyError
from carboy.extras import extra
from carboy.serve.lambda_.wsgi_environ import Environ

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class AsgiBridge:
    """A WSGI application that calls an ASGI application; its loop is closed with it."""

    def __init__(self, application: AsgiApplication) -> None:
        with extra("asgi"):
            from mangum.protocols import HTTPCycle, LifespanCycle
        for name in ("mangum.http", "mangum.lifespan"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # requests and errors are logged by the handler
        self._cycle = HTTPCycle
        self._application = application
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        failures: list[str] = []
        self._lifespan: Any = LifespanCycle(_watch_start(application, failures), "auto")
        self._close = weakref.finalize(self, _close, self._loop)
        with suppress(Exception):  # that of a failed start, which has its words above
            self._lifespan.__enter__()
        if failures:
            self._close()
            raise CarboyError("the application did not start", failures[0], "see its own log")

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        """Answer a request; what the application does after its response is awaited, as Lambda would freeze it."""
        errors: list[BaseException] = []

        async def application(scope: Message, receive: Receive, send: Send) -> None:
            try:
                await self._application(scope, receive, send)
            except BaseException as error:
                errors.append(error)  # which Mangum would answer itself
                raise

        asyncio.set_event_loop(self._loop)
        before = asyncio.all_tasks(self._loop)
        scope = {**make_scope(environ), "state": self._lifespan.lifespan_state.copy()}
        try:
            response = self._cycle(scope, environ["wsgi.input"].read())(application)
        except BaseException:  # the deadline, outside of the application's own code
            _cancel(self._loop, asyncio.all_tasks(self._loop) - before)
            raise
        if errors:
            raise errors[0]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response["headers"]]
        start_response(f"{response['status']} ", headers)
        return [response["body"]]

    def close(self) -> None:
        """End the application's lifespan and close the loop."""
        if self._close.alive:
            asyncio.set_event_loop(self._loop)
            with suppress(Exception):  # it ends anyway
                self._lifespan.__exit__(None, None, None)
            self._close()


def _watch_start(application: AsgiApplication, failures: list[str]) -> Any:
    """Return the application with a note of why its lifespan did not start, whatever it has received before."""

    async def watched(scope: Message, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(str(message.get("message") or "it said so in its lifespan"))
            await send(message)

        await application(scope, receive, note)

    return watched


def _cancel(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        _run(loop, asyncio.wait(tasks))


def _close(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # inside of another loop, this one cannot run any more
        _cancel(loop, asyncio.all_tasks(loop))
        _run(loop, loop.shutdown_asyncgens())
    loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end; one that the loop does not take is closed, as Python warns of it otherwise."""
    try:
        loop.run_until_complete(work)
    finally:
        work.close()


def make_scope(environ: Environ) -> dict[str, Any]:
    """Return the scope of the request that an environ describes."""
    root = environ["SCRIPT_NAME"]
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    if "CONTENT_TYPE" in environ:
        headers.append((b"content-type", environ["CONTENT_TYPE"].encode("latin-1")))
    headers.append((b"content-length", environ["CONTENT_LENGTH"].encode("ascii")))
    address = environ.get("REMOTE_ADDR")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": environ["SERVER_PROTOCOL"].partition("/")[2] or "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": (root + environ["PATH_INFO"]).encode("latin-1").decode("utf-8", "replace"),
        "raw_path": environ["RAW_URI"].partition("?")[0].encode("utf-8"),
        "query_string": environ["QUERY_STRING"].encode("latin-1"),
        "root_path": root.encode("latin-1").decode("utf-8", "replace"),
        "headers": headers,
        "client": (address, 0) if address else None,
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "lambda.event": environ["lambda.event"],
        "lambda.context": environ["lambda.context"],
    }
