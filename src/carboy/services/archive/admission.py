"""Let webhooks in: by their source's own proof, by path token, by key, or by the signature of Amazon SNS."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson
from flask import Response

from carboy.api import Answered, Caller, RawRequest, check_json_type
from carboy.clock import Clock
from carboy.http_values import render_retry_after
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.archive.intake import Acceptance
from carboy.services.archive.sources import THREATSTACK, WebhookSource
from carboy.web import authenticate
from carboy.webhooks import (
    Basic,
    Bearer,
    Notification,
    Scheme,
    SnsEndpoint,
    Unverified,
    is_raw_delivery,
    is_sns_message,
    read_raw,
)

__all__ = ["Admission"]

log: BoundLogger = get_logger("carboy.archive")

SCOPE = "archive:write"


class Admission:
    """The security schemes of the archive's document.

    Args:
        sources: returns the sources, by name, as the settings are now.
        sns: receives what Amazon SNS sends.
        take: counts a request of a source; returns the seconds to wait where there were too many.
        take_handshake: the same of a handshake.
        clock: tells the age of signatures.
    """

    def __init__(
        self,
        sources: Callable[[], Mapping[str, WebhookSource]],
        sns: SnsEndpoint,
        take: Callable[[WebhookSource], float],
        take_handshake: Callable[[WebhookSource], float],
        clock: Clock,
    ) -> None:
        self._sources, self._sns, self._clock = sources, sns, clock
        self._take, self._take_handshake = take, take_handshake

    def source(self, name: str) -> WebhookSource:
        """Return a source by name; raise a 404 `Problem` for an unknown name."""
        found = self._sources().get(name)
        if found is None:
            raise Problem(404, "there is no such source")
        return found

    def verify_sns(self, request: RawRequest) -> Caller | None:
        """Verify alerts that Amazon SNS brings; None for a request that is not from SNS.

        Raises:
            Problem: 401, 403, 413 or 429.
        """
        if not is_sns_message(request.headers) and not is_raw_delivery(request.headers):
            return None
        source = self.source(THREATSTACK)
        _check_address(source, request)
        if is_raw_delivery(request.headers):
            authenticate(SCOPE, basic=True)
            return self._admitted(source, self._unwrapped(request))
        return self._admitted(source, self._received(request))

    def verify_source(self, request: RawRequest) -> Caller:
        """Verify a webhook in the way that its source's settings name.

        Raises:
            Problem: 401, 403, 404, 413, 415 or 429.
        """
        source = self.source(request.path["source"])
        _check_address(source, request)
        if is_sns_message(request.headers) and (source.source.verify == "sns" or source.name == THREATSTACK):
            return self._admitted(source, self._received(request))
        self._answer_handshake(source, request, is_signed=False)
        self._verify(source, request)
        self._answer_handshake(source, request, is_signed=True)
        return self._admitted(source, self._unwrapped(request), is_bare=True)

    def verify_token(self, request: RawRequest) -> Caller:
        """Verify a webhook of a source by the token in its path.

        Raises:
            Problem: 403, 404, 413, 415 or 429.
        """
        source = self.source(request.path["source"])
        _check_address(source, request)
        if not source.has_token(request.path["token"]):
            raise _refusal(Unverified("the path token is not one of the source's"))
        if is_sns_message(request.headers):
            return self._admitted(source, self._received(request))
        self._answer_handshake(source, request, is_signed=False)
        self._answer_handshake(source, request, is_signed=True)
        return self._admitted(source, self._unwrapped(request), is_bare=True)

    def verify_handshake(self, request: RawRequest) -> None:
        """Answer a handshake that comes by GET or HEAD; return without one, so that a key is required.

        Raises:
            Answered: with the response to the handshake.
            Problem: 403 or 429.
        """
        source = self._sources().get(request.path["source"])
        token = request.path.get("token")
        if source is None or not source.source.handshakes or not source.allows(request.client):
            return
        if token is not None and not source.has_token(token):
            return
        self._answer_handshake(source, request, is_signed=False)
        signed = [one for one in source.source.handshakes if one.is_signed]
        if signed and source.handshake(request, is_signed=True) is not None:
            if token is None:
                self._verify(source, request)
            self._answer_handshake(source, request, is_signed=True)

    def _answer_handshake(self, source: WebhookSource, request: RawRequest, *, is_signed: bool) -> None:
        """Raise `Answered` where the request is a handshake of the source."""
        if not source.source.handshakes:
            return
        try:
            reply = source.handshake(request, is_signed=is_signed)
        except Unverified as error:
            raise _refusal(error) from error
        if reply is not None:
            wait_s = self._take_handshake(source)
            if wait_s > 0:
                raise Problem(429, "too many handshakes", headers={"Retry-After": render_retry_after(wait_s)})
            log.info("webhook_handshake", source=source.name)
            raise Answered(Response(reply.body, reply.status, reply.headers))

    def admit(self, name: str, address: str) -> None:
        """Check the address and the rate of a source whose request a key let in.

        Raises:
            Problem: 403 or 429.
        """
        source = self.source(name)
        if not source.allows(address):
            raise _refusal(Unverified("the client's address is not one of the source's"))
        self._count(source)

    def _admitted(self, source: WebhookSource, request: RawRequest, *, is_bare: bool = False) -> Caller:
        """Count a verified request; forgeries use up no source's rate."""
        self._count(source)
        if is_bare and source.name == THREATSTACK and not is_raw_delivery(request.headers):
            check_json_type(request.headers.get("content-type", ""))
        return Caller(source.name, request.client, request=request)

    def _count(self, source: WebhookSource) -> None:
        wait_s = self._take(source) if source.rate else 0.0
        if wait_s > 0:
            raise Problem(429, "the source sends too often", headers={"Retry-After": render_retry_after(wait_s)})

    def _verify(self, source: WebhookSource, request: RawRequest) -> None:
        if source.source.verify == "key":
            authenticate(SCOPE, basic=True)
        elif source.scheme is None:
            raise _refusal(Unverified("the request is not an SNS message"))
        else:
            try:
                source.scheme.verify(request, source.secrets, self._clock.now_ms() / 1000)
            except Unverified as error:
                raise _refusal(error, source.scheme, source.source.refused_status) from error

    def _received(self, request: RawRequest) -> RawRequest:
        """Return the message in SNS's envelope; `Answered` where SNS asked for something else, which is done."""
        try:
            message = self._sns.receive(request.body)
        except Unverified as error:
            raise _refusal(error) from error
        if message is None:
            nothing = orjson.dumps(Acceptance((), 0).document())
            raise Answered(Response(nothing, 202, content_type="application/json"))
        return _opened(request, message)

    def _unwrapped(self, request: RawRequest) -> RawRequest:
        """Return a raw delivery of SNS as its message, and any other request as it is."""
        if not is_raw_delivery(request.headers):
            return request
        try:
            return _opened(request, read_raw(request.headers, request.body, self._sns.topic_arns))
        except Unverified as error:
            raise _refusal(error) from error


def _check_address(source: WebhookSource, request: RawRequest) -> None:
    if not source.allows(request.client):
        raise _refusal(Unverified("the client's address is not one of the source's"))
    if source.max_body_bytes and len(request.body) > source.max_body_bytes:
        raise Problem(413, f"the body is larger than {source.max_body_bytes} bytes")


def _opened(request: RawRequest, message: Notification) -> RawRequest:
    """Return the message as a request, with what the envelope says in headers that the sender cannot write."""
    headers = {name: value for name, value in request.headers.items() if not name.startswith("x-amz-sns-")}
    headers |= {"x-amz-sns-message-id": message.message_id, "x-amz-sns-topic-arn": message.topic_arn}
    if is_raw_delivery(request.headers):
        headers["x-amz-sns-rawdelivery"] = "true"
    if message.subject:
        headers["x-amz-sns-subject"] = message.subject
    if message.attributes:
        headers["x-amz-sns-message-attributes"] = orjson.dumps(message.attributes).decode()
    return replace(request, headers=headers, body=message.message.encode())


def _refusal(error: Unverified, scheme: Scheme | None = None, status: int = 403) -> Problem:
    """Return 403, or 401 where credentials or the sender ask for it; the reason is logged, and not sent."""
    log.warning("webhook_refused", reason=error.why)
    if isinstance(scheme, Basic | Bearer):
        challenge = 'Basic realm="webhooks"' if isinstance(scheme, Basic) else "Bearer"
        return Problem(401, "credentials are needed", headers={"WWW-Authenticate": challenge})
    headers = {"WWW-Authenticate": "Signature"} if status == 401 else {}
    return Problem(status, "the request did not prove where it comes from", headers=headers)
