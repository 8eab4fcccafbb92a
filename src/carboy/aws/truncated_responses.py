"""Detect truncated responses of AWS: botocore takes a short or an empty body for success.

botocore asks urllib3 not to compare what came with `Content-Length`, and an answer that ends inside its headers looks
like an empty 200: from a JSON service an answer without any field.
"""

from typing import Any

__all__ = ["require_whole_answers"]

_WITHOUT_BODY = frozenset({204, 304})


def require_whole_answers(client: Any) -> None:
    """Make a boto3 client treat a truncated response as a closed connection: retry, then raise."""
    endpoint = client._endpoint
    if not isinstance(endpoint.http_session, _WholeAnswers):
        endpoint.http_session = _WholeAnswers(endpoint.http_session)


class _WholeAnswers:
    """Send a client's requests and check the length of each response."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def send(self, request: Any) -> Any:
        answer = self._inner.send(request)
        if request.method == "HEAD" or answer.status_code < 200 or answer.status_code in _WITHOUT_BODY:
            return answer
        size = answer.headers.get("Content-Length")
        if size is None and not answer.headers.get("Transfer-Encoding"):
            if request.stream_output or not answer.content:
                answer.raw.close()  # what is left unread would keep the socket open until a garbage collection
                raise _cut(request, "its headers tell no end")
        elif request.stream_output:
            answer.raw.enforce_content_length = True  # urllib3 raises where the stream ends early
        elif size is not None and len(answer.content) != int(size):
            raise _cut(request, f"{len(answer.content)} of {size} bytes came")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _cut(request: Any, why: str) -> Exception:
    from botocore.exceptions import ConnectionClosedError

    return ConnectionClosedError(endpoint_url=request.url, request=request, error=f"the answer was cut: {why}")
