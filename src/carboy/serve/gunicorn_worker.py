"""Gunicorn's threaded worker, so that a slow or lingering client holds neither a thread nor the polling loop.

The polling thread receives requests, sends what is left of responses and closes connections, and never waits for a
client. Threads get whole requests. What is used of gunicorn beside its documented settings and hooks is listed in
`PRIVATE_NAMES`, and a test checks it.
"""

# pyright: reportIncompatibleMethodOverride=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false
# (the stubs describe the connections of gunicorn's own worker)

import errno
import mmap
import resource
import select
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

from carboy.errors import CarboyError
from carboy.extras import extra
from carboy.logs import get_logger
from carboy.serve.client_socket import shut
from carboy.serve.connections import Connection, Connections
from carboy.serve.deadlines import Deadlines
from carboy.serve.refusals import check_headers, client_address, explain_error, render_refusal
from carboy.serve.request_bodies import Body, length_of
from carboy.serve.service import Service
from carboy.serve.settings import ServeSettings
from carboy.web.http.request_ids import choose_request_id

with extra("serve"):
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

PRIVATE_NAMES: dict[str, tuple[str, ...]] = {
    "gunicorn.workers.gthread:TConn": ("init",),
    "gunicorn.workers.gthread:ThreadWorker": (
        *("init_process", "init_signals", "load_wsgi", "run", "accept", "set_accept_enabled", "enqueue_req", "handle"),
        "get_thread_pool",
        *("handle_request", "handle_error", "finish_request", "_keepalive_after", "wait_for_and_dispatch_events"),
        *("handle_exit", "is_parent_alive", "notify"),
    ),
    "gunicorn.workers.gthread:PollableMethodQueue": ("defer", "fileno", "run_callbacks", "close"),
    "gunicorn.http.parser:Parser": ("finish_body",),
    "gunicorn.http.unreader:Unreader": ("unread", "take_buffered"),
    "gunicorn.http.message:Request": ("force_close", "_expected_100_continue"),
    "gunicorn.arbiter:Arbiter": ("handle_int", "handle_term", "handle_hup", "kill_workers", "signal", "stop", "run"),
}
"""Names of gunicorn that its documentation does not promise, by module and class."""

PROBES = (b"/livez", b"/readyz")
_SWEEP_S = 0.25
_FAST_PARSER = "gunicorn_h1c"
_SPARE_FILES = 256  # of the database, the log and the libraries

exit_report: mmap.mmap = mmap.mmap(-1, 2)
"""Written by workers: whether one cut a request (`CUT`), the exit code of one that did not start (`CODE`)."""
CUT, CODE = 0, 1


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threaded worker with clients that no thread waits for.

    - A thread gets a request when all of it has arrived; headers and bodies have a time each.
    - A response that its client does not read yet is sent on without a thread.
    - Closing never waits. A full table of connections drops the one that was silent longest.
    - `/livez` and `/readyz` have a thread each, so that they are answered while all others are busy.
    - A stop accepts what the kernel had accepted already, before the socket closes.
    """

    timeouts: ServeSettings = ServeSettings()
    is_whole: bool = True
    cpu: int | None = None
    wsgi: Any

    def init_process(self) -> None:
        """Prepare the table of connections, then serve."""
        self._deadlines = Deadlines(max_waiting=max(1, self.cfg.threads * 3 // 4))
        self._slots = threading.Semaphore(self.cfg.threads)
        self._uploads = ThreadPoolExecutor(max(1, self.cfg.threads * 3 // 4))
        self._lanes = {path: ThreadPoolExecutor(1) for path in PROBES}
        self._next_sweep_s = 0.0
        self._lacks_files = False
        self.cfg.set("sendfile", False)  # it would pass the buffer by
        _raise_file_limit(self.worker_connections + _SPARE_FILES)
        _look_for_fast_parser()
        try:
            super().init_process()
        except CarboyError as error:
            if self.age == 1:  # they all meet the same
                sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
            exit_report[CODE] = error.exit_code
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def init_signals(self) -> None:
        """Handle SIGINT as SIGTERM: a terminal sends it to every process, and the master decides."""
        super().init_signals()
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service handles it

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return more threads than may be busy at once: some may wait for clients that read large responses."""
        return ThreadPoolExecutor(max(2, self.cfg.threads * 7 // 4))

    def load_wsgi(self) -> None:
        """Load the application, and wrap it so that reading a body ends in time."""
        super().load_wsgi()
        self.service: Service = Service(self.wsgi)
        self.wsgi = self._with_body(self.wsgi)

    def run(self) -> None:
        """Serve until a stop, then finish what was accepted, for as long as `DRAIN_S` allows."""
        self._connections = Connections(self.cfg, self.timeouts, self.poller, self._deadlines, self.enqueue_req)
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        while self.alive and self.is_parent_alive():
            self._serve_once(_SWEEP_S)
            self.set_accept_enabled(self._has_room)
        self.set_accept_enabled(False)
        self._connections.begin_to_stop()
        until_s = time.monotonic() + self.cfg.graceful_timeout
        while len(self._connections) and time.monotonic() < until_s:
            self._serve_once(0.05)
        self.is_whole = self._connections.is_idle
        if not self.is_whole:
            exit_report[CUT] = 1
        self._connections.close()
        for pool in (self.tpool, self._uploads, *self._lanes.values()):
            pool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()
        listeners: Any = self.sockets
        for listener in listeners:
            listener.close()

    def set_accept_enabled(self, enabled: Any) -> None:
        """Accept, or stop accepting; a worker that ends first accepts what the kernel had accepted already."""
        listeners: Any = self.sockets
        if not enabled and not self.alive and getattr(self, "_accepting", False):
            for listener in listeners:
                while select.select([listener.sock], [], [], 0)[0] and self._has_room:
                    self.accept(listener)
        super().set_accept_enabled(enabled)

    def accept(self, listener: Any) -> None:
        """Accept a connection."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._lacks_files = not self._connections.shed()
        else:
            self._connections.add(client, address, listener.getsockname())

    def enqueue_req(self, conn: Connection) -> None:
        """Hand a request to a thread; probes and bodies that are not whole have threads of their own."""
        line = conn.request.request_line
        is_probe = len(line) == 3 and line[0] in {b"GET", b"HEAD"}
        is_upload = self._connections.is_buffered and not conn.request.is_whole
        common: Any = self._uploads if is_upload else self.tpool
        pool = self._lanes.get(line[1].partition(b"?")[0], common) if is_probe else common
        conn.slot = self._slots if pool is self.tpool else None
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        """Go on with a connection whose request was answered; called in the polling thread."""
        self._connections.finish(conn, is_kept=not fs.cancelled() and fs.exception() is None and bool(fs.result()))

    def handle(self, conn: Connection) -> Any:
        """Read a request and answer it, in a thread; return whether the connection is kept."""
        if conn.slot is None:
            return self._read_and_answer(conn)
        with conn.slot:
            return self._read_and_answer(conn)

    def _read_and_answer(self, conn: Connection) -> Any:
        conn.wait = self._deadlines.begin(self.timeouts.header_timeout_s, lambda: shut(conn.sock, socket.SHUT_RDWR))
        conn.sock.slot = conn.slot
        try:
            if self._connections.is_buffered:
                conn.sock.setblocking(True)
                conn.init()
                conn.parser.unreader.unread(conn.request.take())
            return super().handle(conn)
        finally:
            self._deadlines.finish(conn.wait)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Answer a request whose headers were read."""
        self._deadlines.finish(conn.wait)
        check_headers(req)
        if not self._connections.is_buffered:
            return super().handle_request(req, conn)
        if not conn.request.is_whole:
            req.force_close()  # the rest of its body is not waited for
        elif conn.request.expects_continue:
            req._expected_100_continue = False  # it was sent while the body was received
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock.release_head()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """Answer an error of the parser, or one that the application did not handle."""
        status, detail = explain_error(exc)
        line, given_id = getattr(client, "request_head", ([], None))
        request_id = choose_request_id(given_id)
        log = get_logger(__name__).bind(request_id=request_id, status=status)
        if status == 500:
            log.error("request_failed", exc_info=exc)
        else:
            log.warning("request_refused", reason=detail, client=client_address(addr))
        with suppress(OSError):
            client.sendall(render_refusal(status, detail, line, request_id))

    @property
    def _has_room(self) -> bool:
        return self._connections.has_room and not self._lacks_files

    def _serve_once(self, timeout_s: float) -> None:
        """Handle the events of one moment; a few times a second, however many they are, end what is overdue."""
        self.notify()
        self.wait_for_and_dispatch_events(timeout_s)
        now_s = time.monotonic()
        if now_s >= self._next_sweep_s:
            self._next_sweep_s = now_s + timeout_s
            self._lacks_files = False
            self._deadlines.sweep()
            self._connections.sweep()

    def _keepalive_after(self, conn: Connection, keepalive: Any) -> bool:
        if not keepalive:
            return False
        try:
            if self._connections.is_buffered:
                return bool(conn.parser.finish_body())  # it is all there
            return bool(super()._keepalive_after(conn, keepalive))
        except Exception:  # noqa: BLE001 - the response is sent: whatever is wrong with the rest only ends the connection
            return False

    def _with_body(self, app: Callable[..., Any]) -> Callable[..., Any]:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            client = environ["gunicorn.socket"]
            end = partial(shut, client, socket.SHUT_RD)
            timeout_s = self.timeouts.body_timeout_s
            environ["wsgi.input"] = Body(environ["wsgi.input"], length_of(environ), timeout_s, self._deadlines, end)
            if self._connections.is_buffered:
                start_response = partial(_begin_response, client, start_response)
            return app(environ, start_response)

        return call


def _begin_response(client: Any, start_response: Callable[..., Any], *arguments: Any) -> Any:
    client.holds_head = True  # it leaves with the first bytes of the body
    return start_response(*arguments)


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _look_for_fast_parser() -> None:
    """Spare the first request gunicorn's search: it opens folders, and fails where clients have all files."""
    if find_spec(_FAST_PARSER) is None:
        modules: dict[str, Any] = sys.modules
        modules.setdefault(_FAST_PARSER, None)
