"""A small S3 in this process that ignores conditions, or refuses what a test names: no real server does so at will."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

__all__ = ["FakeS3", "S3Error", "fake_s3"]

_NOW = formatdate(1_484_661_060, usegmt=True)


class S3Error(NamedTuple):
    """What is answered in place of the object."""

    status: int
    code: str
    message: str = "no"


class FakeS3:
    """The objects of a bucket, by key.

    Attributes:
        url: the endpoint.
        is_conditional: whether `If-None-Match` and `If-Match` are honoured.
        knows_conditions: whether a request with one of them is not a 501.
        refuse: given the method and the key, the error to answer; None to do what is asked.
        requests: the method and key of each request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.is_conditional = True
        self.knows_conditions = True
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.refuse: Callable[[str, str], S3Error | None] = lambda _method, _key: None
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()


@contextmanager
def fake_s3() -> Iterator[FakeS3]:
    """Serve a bucket of any name on loopback."""
    fake = FakeS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            url = urlsplit(self.path)
            key = unquote(url.path).partition("/")[2].partition("/")[2]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            method = "LIST" if self.command == "GET" and "list-type" in query else self.command
            with fake.lock:
                fake.requests.append((method, key))
                refusal = fake.refuse(method, key)
                if refusal is not None:
                    self.answer_error(*refusal)
                elif method == "LIST":
                    self.answer_list(query)
                else:
                    getattr(self, f"answer_{method.lower()}")(key, body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = do  # noqa: N815 (the names are the standard library's)

        def answer_put(self, key: str, body: bytes) -> None:
            if not fake.knows_conditions and {"If-None-Match", "If-Match"} & set(self.headers):
                return self.answer_error(501, "NotImplemented")
            if fake.is_conditional:
                if self.headers.get("If-None-Match") == "*" and key in fake.objects:
                    return self.answer_error(412, "PreconditionFailed")
                if self.headers.get("If-Match") and key not in fake.objects:
                    return self.answer_error(404, "NoSuchKey")
            kept = {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}
            fake.objects[key] = body, {**kept, "Content-Type": self.headers.get("Content-Type", "")}
            return self.answer(200, b"", {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})

        def answer_get(self, key: str, _body: bytes) -> None:
            if key not in fake.objects:
                return self.answer_error(404, "NoSuchKey")
            data, headers = fake.objects[key]
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            return self.answer(200, data, {**headers, "ETag": f'"{etag}"', "Last-Modified": _NOW})

        answer_head = answer_get

        def answer_post(self, _key: str, body: bytes) -> None:
            for key in re.findall(r"<Key>([^<]*)</Key>", body.decode()):
                fake.objects.pop(unescape(key), None)
            self.answer(200, b"<DeleteResult/>", {"Content-Type": "application/xml"})

        def answer_delete(self, key: str, _body: bytes) -> None:
            fake.objects.pop(key, None)
            self.answer(204, b"", {})

        def answer_list(self, query: dict[str, str]) -> None:
            prefix, after = query.get("prefix", ""), query.get("start-after", "")
            found = "".join(
                f"<Contents><Key>{escape(key)}</Key><LastModified>2017-01-17T13:51:00.000Z</LastModified>"
                f"<ETag>x</ETag><Size>{len(data)}</Size></Contents>"
                for key, (data, _) in sorted(fake.objects.items())
                if key.startswith(prefix) and key > after
            )
            text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
            self.answer(200, text.encode(), {"Content-Type": "application/xml"})

        def answer_error(self, status: int, code: str, message: str = "no") -> None:
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
            self.answer(status, text.encode(), {"Content-Type": "application/xml"})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield fake
        finally:
            server.shutdown()
