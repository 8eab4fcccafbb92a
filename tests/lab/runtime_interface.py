"""Lambda's Runtime API on loopback, for AWS's own runtime client (`awslambdaric`) to ask for events.

    with LocalFunction(folder, "handler.handler") as function:
        invocation = function.invoke(events.http_v2())

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes".
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Invocation", "LocalFunction", "RuntimeInterface"]

_API = "/2018-06-01/runtime"
_CLIENT = ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")


@dataclass(slots=True)
class Invocation:
    """One event and what became of it.

    Attributes:
        request_id: as the handler's context has it.
        event: what is sent.
        deadline_ms: when the function would be ended, in milliseconds since the epoch.
        trace_id: the value of the header `Lambda-Runtime-Trace-Id`.
        answer: what the handler returned, decoded.
        error: what the runtime reported instead: `errorType`, `errorMessage`, `stackTrace`.
    """

    request_id: str
    event: Any
    deadline_ms: int
    trace_id: str
    answer: Any = None
    error: dict[str, Any] | None = None
    _done: threading.Event = field(default_factory=threading.Event, repr=False)


class RuntimeInterface:
    """The server that a runtime asks for events; one function, one event at a time.

    Attributes:
        init_error: what the runtime reported when the function could not be started; None while all is well.
        is_restored: whether the runtime has asked to go on after a snapshot.
    """

    def __init__(self) -> None:
        self.init_error: dict[str, Any] | None = None
        self.is_restored = False
        self.failed: threading.Event = threading.Event()
        self._waiting: queue.Queue[Invocation | None] = queue.Queue()
        self._running: dict[str, Invocation] = {}
        interface = self

        class Handler(_Handler):
            owner = interface

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def address(self) -> str:
        """Where it listens, as `AWS_LAMBDA_RUNTIME_API` has it."""
        return f"127.0.0.1:{self._server.server_port}"

    def invoke(self, event: Any, *, timeout_s: float = 30.0, trace_id: str = "", request_id: str = "") -> Invocation:
        """Send an event and return what became of it.

        Args:
            event: as JSON can hold it.
            timeout_s: the function's own limit.
            trace_id: the trace that the function continues.
            request_id: a new one by default.

        Raises:
            TimeoutError: nothing came back in `timeout_s` and 5 s more.
            RuntimeError: the function could not be started; see `init_error`.
        """
        deadline_ms = int((time.time() + timeout_s) * 1000)
        invocation = Invocation(request_id or str(uuid.uuid4()), event, deadline_ms, trace_id)
        self._running[invocation.request_id] = invocation
        self._waiting.put(invocation)
        until_s = time.monotonic() + timeout_s + 5
        while not invocation._done.wait(0.05):
            if self.failed.is_set():
                raise RuntimeError(f"the function could not be started: {self.init_error}")
            if time.monotonic() > until_s:
                raise TimeoutError(f"no answer to event {invocation.request_id}")
        return invocation

    def next(self) -> Invocation | None:
        """Wait for an event; None when there will be no more."""
        return self._waiting.get()

    def settle(self, request_id: str, outcome: str, document: Any) -> None:
        """Take what a runtime says of an event: its `response`, or its `error`."""
        invocation = self._running.pop(request_id)
        if outcome == "error":
            invocation.error = document
        else:
            invocation.answer = document
        invocation._done.set()


class _Handler(BaseHTTPRequestHandler):
    owner: RuntimeInterface
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == f"{_API}/restore/next":
            self.owner.is_restored = True
            self._answer(200, b"{}")
            return
        invocation = self.owner.next() if self.path == f"{_API}/invocation/next" else None
        if invocation is None:
            self._answer(404 if "invocation" not in self.path else 410, b"{}")
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:local",
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        self._answer(200, json.dumps(invocation.event).encode(), headers)

    def do_POST(self) -> None:
        document = self._read()
        parts = self.path.removeprefix(_API + "/").split("/")
        match parts:
            case ["invocation", request_id, ("response" | "error") as outcome]:
                self.owner.settle(request_id, outcome, document)
            case ["init", "error"] | ["restore", "error"]:
                self.owner.init_error = document
                self.owner.failed.set()
            case _:
                self._answer(404, b"{}")
                return
        self._answer(202, b'{"status":"OK"}')

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: the test's own output is enough."""

    def _read(self) -> Any:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(data)
        except ValueError:
            return data

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


class LocalFunction:
    """An unpacked function in a process of its own, run by `awslambdaric` as on Lambda.

    The process sees the folder, the runtime client and the standard library; what this Python has installed besides,
    it does not see: a package that is missing in the folder is missing.
    """

    def __init__(
        self,
        folder: Path,
        handler: str,
        *,
        python: str | None = None,
        environ: Mapping[str, str] | None = None,
        snap_start: bool = False,
    ) -> None:
        """Choose what to run; nothing starts before `with`.

        Args:
            folder: where the zip was unpacked: `LAMBDA_TASK_ROOT`.
            handler: the module and the function, such as `handler.handler`.
            python: the interpreter; this one by default. The runtime client must fit it.
            environ: further variables of the function.
            snap_start: whether the function goes through a snapshot before its first event.
        """
        self.interface: RuntimeInterface = RuntimeInterface()
        self._folder, self._handler = folder, handler
        self._python = python or str(getattr(sys, "_base_executable", sys.executable))
        self._environ = dict(environ or {})
        if snap_start:
            self._environ["AWS_LAMBDA_INITIALIZATION_TYPE"] = "snap-start"
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._client = tempfile.TemporaryDirectory(prefix="carboy-runtime-")

    def __enter__(self) -> Self:
        _link_client(Path(self._client.name))
        self.interface.__enter__()
        environ = {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join([str(self._folder), self._client.name]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_LAMBDA_RUNTIME_API": self.interface.address,
            "AWS_LAMBDA_FUNCTION_NAME": "local",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_REGION": "eu-central-1",
            "LAMBDA_TASK_ROOT": str(self._folder),
            "_HANDLER": self._handler,
            **self._environ,
        }
        self._process = subprocess.Popen(
            [self._python, "-S", "-m", "awslambdaric", self._handler],
            cwd=self._folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_lines, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.interface.__exit__(kind, error, trace)
        self._client.cleanup()

    def invoke(self, event: Any, **options: Any) -> Invocation:
        """Send an event and return what became of it; see `RuntimeInterface.invoke`."""
        return self.interface.invoke(event, **options)

    @property
    def output(self) -> list[str]:
        """What the function has written so far, line by line."""
        return list(self._lines)

    def wait_for_end(self, timeout_s: float = 20.0) -> int:
        """Wait until the process ends and return its code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def _read_lines(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.append(line.rstrip("\n"))


def _link_client(folder: Path) -> None:
    """Put the runtime client, and nothing else that is installed here, into a folder."""
    for name in _CLIENT:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"`{name}` is not installed: pip install awslambdaric")
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
