"""Let webhooks in: by key, by path token, by their source's own proof, or by the signature of Amazon SNS."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from flask import request

from carboy.clock import Clock
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.archive.sources import THREATSTACK, WebhookSource
from carboy.web import authenticate, current_key
from carboy.webhooks import (
    Basic,
    Bearer,
    Incoming,
    Notification,
    SubscriptionConfirmation,
    Unverified,
    Verifier,
    is_raw_delivery,
    read_raw,
)

__all__ = ["Admission"]

log: BoundLogger = get_logger("carboy.archive")

SCOPE = "archive:write"
_SNS_ID = "x-amz-sns-message-id"


class Admission:
    """Checks the current request.

    Args:
        senders: the sources, by name.
        verifier: opens SNS messages.
        confirm: answers a subscription.
        topic_arns: topics whose raw deliveries are let in with a key or a token.
        take: counts a request of a source; returns the seconds to wait where there were too many.
        clock: what time it is.
    """

    def __init__(
        self,
        senders: Mapping[str, WebhookSource],
        verifier: Verifier,
        confirm: Callable[[SubscriptionConfirmation], str],
        topic_arns: Collection[str],
        take: Callable[[WebhookSource], float],
        clock: Clock,
    ) -> None:
        self._senders, self._verifier, self._confirm = senders, verifier, confirm
        self._topic_arns, self._take, self._clock = topic_arns, take, clock

    def sender(self, name: str) -> WebhookSource:
        """Return a source; `Problem` 404 where there is none."""
        found = self._senders.get(name)
        if found is None:
            raise Problem(404, "there is no such source")
        return found

    def alerts(self) -> bytes | None:
        """Let a Threat Stack webhook in and return its JSON; None where SNS asked for something else, which is done.

        Raises:
            Problem: 401, 403, 413, 415 or 429.
        """
        sender = self._senders[THREATSTACK]
        self._admit(sender)
        if _is_sns():
            opened = self._sns(_incoming(sender))
            self._count(sender)
            return None if opened is None else opened.body
        _authenticate()
        self._count(sender)
        if "HTTP_X_AMZ_SNS_RAWDELIVERY" in request.environ:
            return self._plain(sender, _incoming(sender)).body
        _check_json(request.environ.get("CONTENT_TYPE", ""))
        return _body(sender)

    def webhook(self, sender: WebhookSource, token: str | None = None) -> Incoming | None:
        """Let a webhook of a source in and return it with the bytes to keep: its own, or the message in SNS's envelope.

        None where SNS asked for something else, which is done.

        Raises:
            Problem: 401, 403, 413, 415 or 429.
        """
        self._admit(sender)
        if token is not None and not sender.has_token(token):
            _refuse(Unverified("the path token is none of the source's"))
        incoming = _incoming(sender)
        if _is_sns() and (token is not None or sender.source.verify == "sns" or sender.name == THREATSTACK):
            opened = self._sns(incoming)
            self._count(sender)
            return opened
        if token is None:
            self._verify(sender, incoming)
        self._count(sender)
        return self._plain(sender, incoming)

    def _admit(self, sender: WebhookSource) -> None:
        if sender.networks and not sender.allows(request.environ.get("REMOTE_ADDR", "")):
            _refuse(Unverified("the client's address is none of the source's"))

    def _count(self, sender: WebhookSource) -> None:
        """Count what was let in; forgeries use up nobody's rate."""
        wait_s = self._take(sender) if sender.rate else 0.0
        if wait_s > 0:
            raise Problem(429, "the source sends too often", headers={"Retry-After": str(int(wait_s) + 1)})

    def _verify(self, sender: WebhookSource, incoming: Incoming) -> None:
        if sender.source.verify == "key":
            _authenticate()
        elif sender.scheme is None:
            _refuse(Unverified("the request is no SNS message"))
        else:
            try:
                sender.scheme.verify(incoming, sender.secrets, self._clock.now_ms() / 1000)
            except Unverified as error:
                _refuse(error, sender.scheme)

    def _plain(self, sender: WebhookSource, incoming: Incoming) -> Incoming:
        if is_raw_delivery(incoming.headers):
            try:
                return _opened(incoming, read_raw(incoming.headers, incoming.body, self._topic_arns))
            except Unverified as error:
                _refuse(error)
        if sender.name == THREATSTACK:
            _check_json(request.environ.get("CONTENT_TYPE", ""))
        return incoming

    def _sns(self, incoming: Incoming) -> Incoming | None:
        try:
            message = self._verifier.open(incoming.body)
        except Unverified as error:
            _refuse(error)
        match message:
            case Notification():
                return _opened(incoming, message)
            case SubscriptionConfirmation():
                log.info("sns_subscription_confirmed", topic_arn=message.topic_arn, by=self._confirm(message))
            case _:
                log.warning("sns_unsubscribed", topic_arn=message.topic_arn)
        return None


def _opened(incoming: Incoming, message: Notification) -> Incoming:
    headers = {**incoming.headers, _SNS_ID: message.message_id}
    return replace(incoming, headers=headers, body=message.message.encode())


def _authenticate() -> None:
    """Ask for a key, unless the router has found one that is good for this already."""
    key = current_key()
    if key is None or SCOPE not in key.scopes:
        authenticate(SCOPE, basic=True)


def _is_sns() -> bool:
    environ = request.environ
    return "HTTP_X_AMZ_SNS_MESSAGE_TYPE" in environ and environ.get("HTTP_X_AMZ_SNS_RAWDELIVERY", "").lower() != "true"


def _incoming(sender: WebhookSource) -> Incoming:
    return Incoming(request.method, request.url, dict(request.headers.items()), _body(sender))


def _body(sender: WebhookSource) -> bytes:
    """Read the body, at most as much of it as the source may send."""
    environ = request.environ
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        if int(length) > sender.max_body_bytes:
            raise Problem(413, f"the body is larger than {sender.max_body_bytes} bytes")
        body: bytes = environ["wsgi.input"].read(int(length))
    else:
        body = request.get_data(cache=False)
    if len(body) > sender.max_body_bytes:
        raise Problem(413, f"the body is larger than {sender.max_body_bytes} bytes")
    return body


def _check_json(content_type: str) -> None:
    kind, _, parameters = content_type.lower().partition(";")
    if kind.strip() not in {"", "application/json"}:
        raise Problem(415, "send it as JSON, with `Content-Type: application/json`")
    charset = parameters.partition("charset=")[2].strip(' "')
    if charset not in {"", "utf-8", "utf8"}:
        raise Problem(415, "send it in UTF-8")


def _refuse(error: Unverified, scheme: Any = None) -> NoReturn:
    """Answer 403, or 401 where credentials are asked for; why is told to the log alone."""
    log.warning("webhook_refused", reason=error.why)
    if isinstance(scheme, Basic):
        raise Problem(401, "credentials are needed", headers={"WWW-Authenticate": 'Basic realm="webhooks"'}) from error
    if isinstance(scheme, Bearer):
        raise Problem(401, "credentials are needed", headers={"WWW-Authenticate": "Bearer"}) from error
    raise Problem(403, "the request did not prove where it comes from") from error
