"""Run an ASGI application as if it were a WSGI application, so that it gets the same requests.

One event loop serves the whole life of the process. `lifespan.startup` runs when the bridge is made, in Lambda's
initialisation; an application that does not know the protocol goes without.

Source: the ASGI specification 3.0, "HTTP & WebSocket" and "Lifespan Protocol".
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from carboy.errors import CarboyError
from carboy.logs import BoundLogger, get_logger
from carboy.serve.lambda_.wsgi_environ import Environ

__all__ = ["AsgiApplication", "AsgiBridge"]

log: BoundLogger = get_logger("carboy.serve.lambda")

Message = MutableMapping[str, Any]
AsgiApplication = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class AsgiBridge:
    """A WSGI application that calls an ASGI application; the loop is closed with it."""

    def __init__(self, application: AsgiApplication) -> None:
        self._application = application
        self._loop = asyncio.new_event_loop()
        self._state: dict[str, Any] = {}
        self._close = weakref.finalize(self, _close, self._loop)
        self._lifespan = self._loop.run_until_complete(_start(application, self._state))  # kept, or it would be lost

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        """Answer a request; what the application does after its answer is waited for, as Lambda would freeze it."""
        answer = _Exchange(environ["wsgi.input"].read())
        scope = {**make_scope(environ), "state": self._state.copy()}
        task = self._loop.create_task(_run(self._application, scope, answer))
        try:
            self._loop.run_until_complete(task)
        except BaseException:
            task.cancel()
            self._loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            raise
        start_response(f"{answer.status} ", answer.headers)
        return [bytes(answer.body)]

    def close(self) -> None:
        """Stop the application's lifespan and close the loop."""
        self._close()


def _close(loop: asyncio.AbstractEventLoop) -> None:
    if not _is_in_a_loop():  # inside of another one, this one cannot run any more
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(_end(loop, tasks))
    loop.close()


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _end(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()


async def _run(application: AsgiApplication, scope: MutableMapping[str, Any], answer: "_Exchange") -> None:
    await application(scope, answer.receive, answer.send)
    if not answer.is_complete:
        raise AssertionError("the application ended without a complete answer")


async def _start(application: AsgiApplication, state: dict[str, Any]) -> "asyncio.Task[None]":
    """Run the application's lifespan up to its start and return the task in which it goes on."""
    asked: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message | None] = asyncio.Queue()
    asked.put_nowait({"type": "lifespan.startup"})

    async def live() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        try:
            await application(scope, asked.get, told.put)
        except Exception as error:  # noqa: BLE001 - it does not know the protocol; servers go on without, and so do we
            log.debug("lifespan_unsupported", error=repr(error))
        finally:
            told.put_nowait(None)

    task = asyncio.ensure_future(live())
    message = await told.get()
    if message is not None and message["type"] == "lifespan.startup.failed":
        why = str(message.get("message") or "it said so in its lifespan")
        raise CarboyError("the application did not start", why, "see its own log")
    return task


class _Exchange:
    """One request and its answer."""

    def __init__(self, body: bytes) -> None:
        self._messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._ended = asyncio.Event()
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()

    @property
    def is_complete(self) -> bool:
        return self._ended.is_set()

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop()
        await self._ended.wait()  # the client goes when it has its answer
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.status:
                raise AssertionError("the application began its answer twice")
            self.status = message["status"]
            self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                self._ended.set()


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
