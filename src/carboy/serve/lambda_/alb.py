"""The environ of an Application Load Balancer's event: path and query come as the client encoded them.

The target group says whether headers and query come with one value for each name or with lists, and the answer must
have the same form.

Source: Elastic Load Balancing user guide, "Use Lambda functions as targets of an Application Load Balancer".
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from carboy.serve.lambda_.mount_paths import decode_path
from carboy.serve.lambda_.wsgi_environ import Environ, make_environ

_NOT_IN_A_QUERY = re.compile(r"[^!$%-;=?-~]").search  # visible ASCII without quote, hash, angle brackets


def read_request(event: Mapping[str, Any], context: Any) -> Environ:
    """Return the environ of a load balancer's event."""
    path = event.get("path") or "/"
    many = event.get("multiValueQueryStringParameters")
    if many:
        pairs = [(name, value) for name, values in many.items() for value in values]
    else:
        pairs = list((event.get("queryStringParameters") or {}).items())
    query = "&".join([f"{name}={value}" for name, value in pairs])
    if query and _NOT_IN_A_QUERY(query):
        query = "&".join(f"{_kept(name)}={_kept(value)}" for name, value in pairs)
    environ = make_environ(event, context, event["httpMethod"], "", decode_path(path), query, path, scheme="")
    environ["REMOTE_ADDR"] = client_address(environ.get("HTTP_X_FORWARDED_FOR", ""))
    return environ


def client_address(forwarded_for: str) -> str:
    """Return the address that the load balancer saw: the last one, since any client may send those before."""
    last = forwarded_for.rpartition(",")[2].strip()
    if last.startswith("["):  # [2001:db8::1]:44321
        return last[1:].partition("]")[0]
    return last.partition(":")[0] if last.count(":") == 1 else last


def _kept(text: str) -> str:
    """Return a name or a value as it is, but for what no query can hold."""
    return quote(text, safe="!$%&'()*+,/:;=?@[]\\^`{|}~", errors="surrogatepass")
