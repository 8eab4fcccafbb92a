"""boto3's clients from one session: with timeouts, cached, and with errors that say what to do.

Nothing here is imported before the first call needs it: boto3 costs a quarter of a second and 35 MB.
"""

import os
import threading
from collections.abc import Hashable
from typing import Any, NoReturn, cast

from carboy.aws.explain import action_of, explain, explained, resource_of
from carboy.aws.truncated_responses import reject_truncated_responses
from carboy.config.environ import read_environ
from carboy.extras import extra

_CONNECT_S, _READ_S = 5.0, 30.0
_QUICK = {"secretsmanager": (2.0, 5.0), "ssm": (2.0, 5.0)}  # a request waits for them
_ATTEMPTS = 3


class _Shared:
    """Session and clients of the process; a forked child starts without, as sockets and locks are the parent's."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.session: Any = None
        self.clients: dict[Hashable, Any] = {}


_shared = _Shared()
_default_timeout: list[float] = []
_default_session: list[Any] = []


def forget() -> None:
    """Drop the session and its clients, as a forked child does; the next call makes new ones."""
    _shared.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=forget)


def set_default_session(session: Any) -> None:
    """Set the boto3 session that clients and resources are made of from now on; None for one by AWS's own chain."""
    _default_session[:] = [] if session is None else [session]
    forget()


def client(
    service: str,
    *,
    region_name: str | None = None,
    timeout: float | None = None,
    connect_timeout: float | None = None,
    read_timeout: float | None = None,
    attempts: int | None = None,
    config: Any = None,
    **options: Any,
) -> Any:
    """Return boto3's client of a service; the same arguments return the same client.

    Its errors are botocore's own and also `Refused`, `Missing`, `Throttled` or `Unreachable`.

    Args:
        service: such as `sns`.
        region_name: the region; by default as AWS's own chain says.
        timeout: seconds, for connecting and reading alike.
        connect_timeout: seconds; by default 5, for secrets and parameters 2.
        read_timeout: seconds; by default 30, for secrets and parameters 5.
        attempts: tries in all, the first included; by default `AWS_MAX_ATTEMPTS`, else 3.
        config: a `botocore.config.Config`; it overrides the defaults, and the arguments override it.
        options: as boto3 takes them, such as `endpoint_url`.

    Raises:
        MissingExtra: boto3 is not installed.
        Refused: no region or profile is configured.
    """
    merged = _config(service, timeout, connect_timeout, read_timeout, attempts, config)
    key = _key(service, region_name, merged, options)
    with _shared.lock:
        made = _shared.clients.get(key) if key is not None else None
        if made is None:
            made = _make("client", service, region_name, merged, options)
            _explain_errors(made)
            if key is not None:
                _shared.clients[key] = made
        return made


def resource(
    service: str,
    *,
    region_name: str | None = None,
    timeout: float | None = None,
    connect_timeout: float | None = None,
    read_timeout: float | None = None,
    attempts: int | None = None,
    config: Any = None,
    **options: Any,
) -> Any:
    """Return a new boto3 resource of a service: threads cannot share one.

    The arguments are those of `client`.
    """
    merged = _config(service, timeout, connect_timeout, read_timeout, attempts, config)
    with _shared.lock:
        made = _make("resource", service, region_name, merged, options)
    _explain_errors(made.meta.client)
    return made


def credentials() -> Any:
    """Return botocore's self-renewing credentials of the process's session; None without credentials.

    Raises:
        MissingExtra: boto3 is not installed.
    """
    with _shared.lock:
        return shared_session().get_credentials()


def set_default_timeout(timeout: float | None) -> None:
    """Set the default timeout of clients, in seconds, to connect and to read; None for Carboy's own."""
    _default_timeout[:] = [] if timeout is None else [timeout]


def _config(
    service: str,
    timeout: float | None,
    connect_timeout: float | None,
    read_timeout: float | None,
    attempts: int | None,
    config: Any,
) -> Any:
    with extra("aws"):
        from botocore.config import Config
    connect_s, read_s = _QUICK.get(service, (_CONNECT_S, _READ_S))
    if _default_timeout:
        connect_s = read_s = _default_timeout[0]
    merged = Config(connect_timeout=connect_s, read_timeout=read_s, retries=default_retries(_ATTEMPTS))
    if config is not None:
        merged = merged.merge(config)
    seconds = {"connect_timeout": connect_timeout, "read_timeout": read_timeout}
    own: dict[str, Any] = {
        name: timeout if s is None else s for name, s in seconds.items() if (timeout, s) != (None, None)
    }
    if attempts is not None:
        own["retries"] = {"mode": "standard", "total_max_attempts": attempts}
    return merged.merge(Config(**own)) if own else merged


def default_retries(attempts: int) -> Any:
    """Return botocore's `retries`: what an operator sets in the environment overrides Carboy's defaults.

    Args:
        attempts: tries in all where `AWS_MAX_ATTEMPTS` is not set.
    """
    environ = read_environ()
    found: dict[str, Any] = {} if environ.get("AWS_RETRY_MODE") else {"mode": "standard"}
    if not environ.get("AWS_MAX_ATTEMPTS"):
        found["total_max_attempts"] = attempts
    return found or None


def shared_session() -> Any:
    """Return the one boto3 session of this process: the given one, or one by AWS's own chain."""
    with extra("aws"):
        import boto3
    with _shared.lock:
        if _shared.session is None and _default_session:
            _shared.session = _default_session[0]
        if _shared.session is None:
            environ = read_environ()
            region_name = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")  # boto3 knows the second only
            _shared.session = boto3.session.Session(region_name=region_name or None)
        return _shared.session


def _key(service: str, region: str | None, config: Any, options: dict[str, Any]) -> Hashable | None:
    """Return the cache key of a client; None where an option cannot be compared."""
    try:
        given = repr(sorted(config._user_provided_options.items()))
        key = (service, region, given, tuple(sorted(options.items())), bool(_default_timeout))
        hash(key)
    except (AttributeError, TypeError):
        return None
    return key


def _make(kind: str, service: str, region: str | None, config: Any, options: dict[str, Any]) -> Any:
    with explained(f"{service}:*"):
        return getattr(shared_session(), kind)(service, region_name=region, config=config, **options)


def _explain_errors(client: Any) -> None:
    """Make a client raise errors that say which name, which role and what to allow."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.response import StreamingBody

    service = client.meta.service_model.signing_name
    credentials = client._request_signer._credentials

    def remember(params: Any, context: dict[str, Any], **_: Any) -> None:
        context["carboy_resource"] = resource_of(params) if isinstance(params, dict) else ""

    def raise_explained(error: Exception, operation: str, context: dict[str, Any] | None) -> NoReturn:
        method = getattr(credentials, "method", None)
        who = f"the identity behind the credentials (from `{method}`)" if method else ""
        resource = (context or {}).get("carboy_resource", "")
        raise explain(error, action_of(service, operation), resource, who) from None

    def on_response(http_response: Any, parsed: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        if http_response.status_code >= 300:
            code = context.get("error_code_override") or parsed.get("Error", {}).get("Code")
            raise_explained(client.exceptions.from_code(code)(parsed, model.name), model.name, context)
        for body in parsed.values():
            if isinstance(body, StreamingBody):
                explain_reading(body, model.name, context)

    def explain_reading(body: Any, operation: str, context: dict[str, Any]) -> None:
        read = body.read

        def read_or_explain(amt: int | None = None) -> bytes:
            try:
                return cast("bytes", read(amt))
            except BotoCoreError as error:
                raise_explained(error, operation, context)

        body.read = read_or_explain

    def on_failure(exception: Exception, context: dict[str, Any], **more: Any) -> None:
        if isinstance(exception, BotoCoreError | ClientError):
            raise_explained(exception, more["event_name"].rpartition(".")[2], context)

    reject_truncated_responses(client)
    client.meta.events.register_first("before-parameter-build.*", remember)
    client.meta.events.register_last("after-call.*", on_response)
    client.meta.events.register_last("after-call-error.*", on_failure)
