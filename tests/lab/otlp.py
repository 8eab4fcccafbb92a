"""An OTLP receiver in a process of its own: takes spans over HTTP in protobuf, as an OpenTelemetry collector does.

Run as a program it prints its port, and then each span as a line of JSON.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["OtlpReceiver", "otlp_receiver"]


class OtlpReceiver:
    """What a receiver process has got so far.

    Attributes:
        url: for `OTEL_EXPORTER_OTLP_ENDPOINT`.
        spans: as dicts: `name`, `trace_id`, `span_id`, `parent_id`, `kind`, `status`, `attributes`, `events`,
            `service`, `start_ns`, `end_ns`.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Read what a receiver process prints."""
        assert process.stdout is not None
        self._lines = process.stdout
        self.url: str = f"http://127.0.0.1:{int(self._lines.readline())}"
        self.spans: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._collect, name="otlp-receiver", daemon=True)
        self._thread.start()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        """Return the spans once there are at least that many.

        Raises:
            TimeoutError: fewer came in that time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.spans) >= count, timeout_s):
                raise TimeoutError(f"{len(self.spans)} spans came, not {count}, within {timeout_s:g} s")
            return list(self.spans)

    def join(self) -> None:
        """Wait until the process has ended and all it printed was read."""
        self._thread.join()

    def _collect(self) -> None:
        for line in self._lines:
            with self._arrived:
                self.spans.append(json.loads(line))
                self._arrived.notify_all()


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Start a receiver and stop it in the end."""
    command = [sys.executable, __file__]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    receiver = OtlpReceiver(process)
    try:
        yield receiver
    finally:
        process.communicate()  # the end of its input is its end
        receiver.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take what an exporter sends to `/v1/traces`."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        is_known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
        if is_known:
            for span in _spans(ExportTraceServiceRequest.FromString(body)):
                print(json.dumps(span), flush=True)  # noqa: T201 - it is what this program is for
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base names it so)
        """Say nothing."""


def _spans(request: Any) -> Iterator[dict[str, Any]]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes).get("service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": service,
                    "name": span.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_id": span.parent_span_id.hex(),
                    "kind": span.kind,
                    "status": span.status.code,
                    "attributes": _values(span.attributes),
                    "events": [{"name": each.name, **_values(each.attributes)} for each in span.events],
                    "start_ns": span.start_time_unix_nano,
                    "end_ns": span.end_time_unix_nano,
                }


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
