"""Detect truncated responses of AWS, which botocore takes for success.

botocore turns urllib3's check of `Content-Length` off, and a response that ends inside its headers looks like an empty
200: from a JSON service a response without any field.
"""

from typing import Any

_WITHOUT_BODY = frozenset({204, 304})


def reject_truncated_responses(client: Any) -> None:
    """Make a boto3 client treat a truncated response as a closed connection: retry, then raise."""
    endpoint = client._endpoint
    if not isinstance(endpoint.http_session, _CompleteResponses):
        endpoint.http_session = _CompleteResponses(endpoint.http_session)


class _CompleteResponses:
    """Send a client's requests and check the length of each response."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def send(self, request: Any) -> Any:
        response = self._inner.send(request)
        if request.method == "HEAD" or response.status_code < 200 or response.status_code in _WITHOUT_BODY:
            return response
        size = response.headers.get("Content-Length")
        if size is None and not response.headers.get("Transfer-Encoding"):
            if request.stream_output or not response.content:
                response.raw.close()  # what is left unread would keep the socket open until a garbage collection
                raise _truncated(request, "its headers do not say where it ends")
        elif request.stream_output:
            response.raw.enforce_content_length = True  # urllib3 raises where the stream ends early
        elif size is not None and len(response.content) != int(size):
            raise _truncated(request, f"{len(response.content)} of {size} bytes came")
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _truncated(request: Any, why: str) -> Exception:
    from botocore.exceptions import ConnectionClosedError

    return ConnectionClosedError(endpoint_url=request.url, request=request, error=f"the response was truncated: {why}")
