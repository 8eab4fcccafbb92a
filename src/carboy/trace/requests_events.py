"""Follow calls that are made by `requests`, each of its sends: redirects and further tries too."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from carboy.extras import extra
from carboy.trace.current import begin_span, outgoing_headers

_MARK = "_carboy_follows"


def instrument_requests() -> None:
    """Give every call of `requests` a span, and its request the headers of the trace; a second call does nothing."""
    with extra("net"):
        from requests.adapters import HTTPAdapter
    send: Callable[..., Any] = HTTPAdapter.send
    if hasattr(send, _MARK):
        return

    @wraps(send)
    def send_followed(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = begin_span(urlsplit(request.url).hostname or "http", "remote")
        if span is None:
            request.headers.update(outgoing_headers(request.headers))
            return send(adapter, request, *args, **kwargs)
        with span:
            request.headers.update(outgoing_headers(request.headers))
            span.add_request(request.method or "", request.url)
            response = send(adapter, request, *args, **kwargs)
            length = response.headers.get("Content-Length", "")
            span.add_response(
                response.status_code,
                **({"content_length": int(length)} if length.isascii() and length.isdigit() else {}),
            )
            return response

    setattr(send_followed, _MARK, True)
    HTTPAdapter.send = send_followed  # type: ignore[method-assign,assignment]
