"""Send a request to the service itself, through all of its application and without the network."""

from carboy.raw_request import RawRequest
from carboy.web.runtime import runtime

_MAX_TEXT = 500


def call_service(sent: RawRequest) -> tuple[int, str]:
    """Return the status of the response to a request, and the beginning of its text.

    Args:
        sent: with the client's address that the service is to see.
    """
    from werkzeug.test import Client
    from werkzeug.wrappers import Response

    current = runtime()
    headers = dict(sent.headers)
    if current.web.trusted_proxies:
        headers["X-Forwarded-For"] = ", ".join([sent.client] * current.web.trusted_proxies)
    client = Client(current.app.wsgi_app, Response)
    response = client.open(
        sent.url, method=sent.method, headers=headers, data=sent.body, environ_base={"REMOTE_ADDR": sent.client}
    )
    return response.status_code, response.get_data(as_text=True)[:_MAX_TEXT]
