"""Let webhooks in: by their source's own proof, by path token, by key, or by the signature of Amazon SNS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import orjson
from flask import Response

from carboy.api import Answered, Caller, RawRequest, check_json_type
from carboy.clock import Clock
from carboy.errors import InvalidInput
from carboy.http_values import render_retry_after
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.archive.configured import SourceRegistry
from carboy.services.archive.exchanged_secrets import ExchangedSecrets
from carboy.services.archive.intake import Acceptance
from carboy.services.archive.refusals import RefusedRequests, reason_of
from carboy.services.archive.source_metrics import SourceMetrics
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
    matches_any,
    open_body,
    read_raw,
)

log: BoundLogger = get_logger("carboy.archive")

SCOPE = "archive:write"
_MAX_SECRET = 512
_RECHECK_S = 0.5  # forgeries read the database no more often


class Admission:
    """The security schemes of the archive's document.

    Args:
        sources: as the settings are now; counts their requests.
        sns: receives what Amazon SNS sends.
        refusals: keeps the facts of refused requests.
        metrics: counts what sources send.
        exchanged: the secrets that senders brought themselves; None without a database.
        max_body_bytes: of an opened body, where its source has no limit of its own.
    """

    def __init__(
        self,
        sources: SourceRegistry,
        sns: SnsEndpoint,
        clock: Clock,
        *,
        refusals: RefusedRequests,
        metrics: SourceMetrics,
        exchanged: ExchangedSecrets | None,
        max_body_bytes: int,
    ) -> None:
        self._sources, self._sns, self._clock = sources, sns, clock
        self._refusals, self._metrics, self._exchanged = refusals, metrics, exchanged
        self._max_body_bytes = max_body_bytes

    def source(self, name: str) -> WebhookSource:
        """Return a source by name; raise a 404 `Problem` for an unknown name."""
        found = self._sources().get(name)
        if found is None:
            raise Problem(404, "there is no such source")
        return found

    def check_token(self, source: WebhookSource, token: str) -> None:
        """Raise a 403 `Problem` for a path token that is not one of the source's."""
        if not source.has_token(token):
            raise _refusal(Unverified("the path token is not one of the source's", "token"))

    def kept(self, name: str, acceptance: Acceptance) -> None:
        """Count the events of a request that was accepted."""
        self._metrics.kept(name, acceptance)

    def verify_sns(self, request: RawRequest) -> Caller | None:
        """Verify alerts that Amazon SNS brings; None for a request that is not from SNS.

        Raises:
            Problem: 401, 403, 413 or 429.
        """
        if not is_sns_message(request.headers) and not is_raw_delivery(request.headers):
            return None
        with self._counted(THREATSTACK, request):
            source = self._sender(THREATSTACK, request)
            if is_raw_delivery(request.headers):
                authenticate(SCOPE, basic=True)
                return self._admitted(source, self._unwrapped(request))
            return self._admitted(source, self._received(request))

    def verify_source(self, request: RawRequest) -> Caller:
        """Verify a webhook in the way that its source's settings name.

        Raises:
            Problem: 401, 403, 404, 413, 415 or 429.
        """
        name = request.path["source"]
        with self._counted(name, request):
            source = self._sender(name, request)
            request, wire = self._opened_bodies(source, request)
            if is_sns_message(request.headers) and (source.config.verify == "sns" or name == THREATSTACK):
                return self._admitted(source, self._received(request))
            self._answer_exchange(source, request, has_token=False)
            self._answer_handshake(source, request, is_signed=False)
            self._verify(source, wire)
            self._answer_handshake(source, request, is_signed=True)
            return self._admitted(source, self._unwrapped(request), is_bare=True)

    def verify_token(self, request: RawRequest) -> Caller:
        """Verify a webhook of a source by the token in its path.

        Raises:
            Problem: 403, 404, 413, 415 or 429.
        """
        name = request.path["source"]
        with self._counted(name, request):
            source = self._sender(name, request)
            self.check_token(source, request.path["token"])
            request, wire = self._opened_bodies(source, request)
            if is_sns_message(request.headers):
                return self._admitted(source, self._received(request))
            if source.config.exchange:  # the token lets a new secret in, and the secret proves the rest
                self._answer_exchange(source, request, has_token=True)
                self._verify(source, wire)
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
        if source is None or not source.config.handshakes or not source.allows(request.client):
            return
        if token is not None and not source.has_token(token):
            return
        with self.refusing(source.name, request):
            self._answer_handshake(source, request, is_signed=False)
            if source.handshake(request, is_signed=True) is not None:
                if token is None:
                    self._verify(source, request)
                self._answer_handshake(source, request, is_signed=True)

    def admit(self, name: str, request: RawRequest) -> None:
        """Check the address and the rate of a source whose request a key let in.

        Raises:
            Problem: 403, 413 or 429.
        """
        with self._counted(name, request):
            self._count(self._sender(name, request))

    @contextmanager
    def _counted(self, name: str, request: RawRequest) -> Iterator[None]:
        """Count a request; keep the facts of one that is refused within the block."""
        self._metrics.received(name)
        with self.refusing(name, request):
            yield

    @contextmanager
    def refusing(self, name: str, request: RawRequest) -> Iterator[None]:
        """Count a request that is refused within the block, and keep its facts; the error goes through.

        Raises:
            Problem: 403, in the place of `Unverified`.
        """
        try:
            yield
        except Unverified as error:
            refusal = _refusal(error)
            self._refuse(name, request, refusal)
            raise refusal from error
        except Problem as error:
            self._refuse(name, request, error)
            raise
        except InvalidInput as error:
            self._refuse(name, request, Problem(422, str(error)))
            raise

    def _refuse(self, name: str, request: RawRequest, error: Problem) -> None:
        self._metrics.refused(name, reason_of(error))
        self._refusals.add(name, self._sources().get(name), request, error)

    def _sender(self, name: str, request: RawRequest) -> WebhookSource:
        """Return the source of a request whose address and size it allows."""
        source = self.source(name)
        if not source.allows(request.client):
            raise Unverified("the client's address is not one of the source's", "address")
        if source.config.max_body_bytes and len(request.body) > source.config.max_body_bytes:
            raise Problem(413, f"the body is larger than {source.config.max_body_bytes} bytes")
        return source

    def _opened_bodies(self, source: WebhookSource, request: RawRequest) -> tuple[RawRequest, RawRequest]:
        """Return a request with its body opened, and the one that the signature is over."""
        encoding = request.headers.get("content-encoding", "")
        if encoding.strip().lower() in {"", "identity"}:
            return request, request
        if not source.config.compressed:
            raise Problem(415, "the body is compressed, and the source does not say `compressed = true`")
        limit = source.config.max_body_bytes or self._max_body_bytes
        headers = {name: value for name, value in request.headers.items() if name != "content-encoding"}
        opened = replace(request, headers=headers, body=open_body(request.body, encoding, limit))
        return opened, opened if source.config.signed == "opened" else request

    def _answer_exchange(self, source: WebhookSource, request: RawRequest, *, has_token: bool) -> None:
        """Raise `Answered` where the sender brings the secret that it will sign with.

        A new one needs the path token; without it only one that is known already is acknowledged.
        """
        header = source.config.exchange
        secret = request.headers.get(header.lower(), "") if header else ""
        if not secret:
            return
        self._limit_handshakes(source)
        if not (secret.isascii() and secret.isprintable() and len(secret) <= _MAX_SECRET):
            raise Problem(400, f"the header {header} has no secret")
        if not matches_any(secret, self._secrets(source)):
            if not has_token or self._exchanged is None:
                raise Unverified("a new secret needs the path token", "handshake")
            self._exchanged.keep(source.name, secret)
        log.info("webhook_handshake", source=source.name)
        raise Answered(Response(b"", 200, {header: secret}, content_type="text/plain"))

    def _secrets(self, source: WebhookSource, max_age_s: float = 5.0) -> tuple[str, ...]:
        if not source.config.exchange or self._exchanged is None:
            return source.secrets
        return (*source.secrets, *self._exchanged.of(source.name, max_age_s))

    def _limit_handshakes(self, source: WebhookSource) -> None:
        wait_s = self._sources.take_handshake(source)
        if wait_s > 0:
            raise Problem(429, "too many handshakes", headers={"Retry-After": render_retry_after(wait_s)})

    def _answer_handshake(self, source: WebhookSource, request: RawRequest, *, is_signed: bool) -> None:
        """Raise `Answered` where the request is a handshake of the source."""
        reply = source.handshake(request, is_signed=is_signed)
        if reply is not None:
            self._limit_handshakes(source)
            log.info("webhook_handshake", source=source.name)
            raise Answered(Response(reply.body, reply.status, reply.headers))

    def _admitted(self, source: WebhookSource, request: RawRequest, *, is_bare: bool = False) -> Caller:
        """Count a verified request; forgeries use up no source's rate."""
        self._count(source)
        if is_bare and source.name == THREATSTACK and not is_raw_delivery(request.headers):
            check_json_type(request.headers.get("content-type", ""))
        return Caller(source.name, request.client, request=request)

    def _count(self, source: WebhookSource) -> None:
        wait_s = self._sources.take(source)
        if wait_s > 0:
            raise Problem(429, "the source sends too often", headers={"Retry-After": render_retry_after(wait_s)})

    def _verify(self, source: WebhookSource, request: RawRequest) -> None:
        if source.config.verify == "key":
            authenticate(SCOPE, basic=True)
        elif source.scheme is None:
            raise Unverified("the request is not an SNS message", "missing")
        else:
            try:
                self._prove(source, source.scheme, request)
            except Unverified as error:
                raise _refusal(error, source.scheme, source.config.refused_status) from error

    def _prove(self, source: WebhookSource, scheme: Scheme, request: RawRequest) -> None:
        """Raise `Unverified` where no secret proves a request, nor one that another worker got in an exchange."""
        now_s, known = self._clock.now_ms() / 1000, self._secrets(source)
        try:
            scheme.verify(request, known, now_s)
        except Unverified:
            newest = self._secrets(source, max_age_s=_RECHECK_S)
            if newest == known:
                raise
            scheme.verify(request, newest, now_s)

    def _received(self, request: RawRequest) -> RawRequest:
        """Return the message in SNS's envelope; `Answered` where SNS asked for something else, which is done."""
        message = self._sns.receive(request.body)
        if message is None:
            nothing = orjson.dumps(Acceptance((), 0).document())
            raise Answered(Response(nothing, 202, content_type="application/json"))
        return _opened(request, message)

    def _unwrapped(self, request: RawRequest) -> RawRequest:
        """Return a raw delivery of SNS as its message, and any other request as it is."""
        if not is_raw_delivery(request.headers):
            return request
        return _opened(request, read_raw(request.headers, request.body, self._sns.topic_arns))


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
        problem = Problem(401, "credentials are needed", headers={"WWW-Authenticate": challenge})
    else:
        headers = {"WWW-Authenticate": "Signature"} if status == 401 else {}
        problem = Problem(status, "the request did not prove where it comes from", headers=headers)
    problem.__cause__ = error  # for the metrics and the list of refused requests
    return problem
