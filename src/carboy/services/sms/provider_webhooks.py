"""Verify what providers post, delivery reports and inbound messages, in each provider's own way, and read it.

Twilio signs, Amazon posts through SNS, which signs; the others do not, so their address has a secret in it, or a key
comes along.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from flask import Response

from carboy.api import Answered, Caller, RawRequest
from carboy.clock import Clock
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.sms.accounts import Accounts
from carboy.services.sms.providers import (
    Inbound,
    ReadsInbound,
    ReadsReceipts,
    Receipt,
    ReportsThroughSns,
    SignsReceipts,
)
from carboy.services.sms.settings import SmsSettings
from carboy.web import authenticate
from carboy.webhooks import SnsEndpoint, Unverified, is_sns_message, matches_any

log: BoundLogger = get_logger("carboy.sms")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Posted(Generic[T]):
    """What providers post: delivery reports, or inbound messages.

    Attributes:
        protocol: of the providers that post it.
        read: the name of the method that reads a body.
        answer: the name of the attribute with status, content type and body of our response.
        absent: what is wrong where a provider does not post it.
        unreadable: what is wrong where the body cannot be read.
    """

    protocol: type
    read: str
    answer: str
    absent: str
    unreadable: str


RECEIPTS: Posted[Receipt] = Posted(
    ReadsReceipts,
    "read_receipts",
    "receipt_answer",
    "there is no such provider, or it sends no receipts",
    "the body is no receipt of this provider",
)
INBOUND: Posted[Inbound] = Posted(
    ReadsInbound,
    "read_inbound",
    "inbound_answer",
    "there is no such provider, or it passes on no messages",
    "the body is no inbound message of this provider",
)


@dataclass(frozen=True, slots=True)
class ProviderWebhooks(Generic[T]):
    """The security schemes of what providers post, and what reads it.

    Attributes:
        posted: what is posted.
        providers: by name.
        accounts: whose secrets verify.
        sns: receives what Amazon SNS sends.
        settings: returns the settings as they are now.
        clock: gives the age of signatures.
    """

    posted: Posted[T]
    providers: Mapping[str, Any]
    accounts: Accounts
    sns: SnsEndpoint
    settings: Callable[[], SmsSettings]
    clock: Clock

    def verify(self, request: RawRequest) -> Caller:
        """Verify a request by its provider's signature, or by a key.

        Raises:
            Problem: 401, 403 or 404.
        """
        name, provider = self._provider(request)
        if isinstance(provider, ReportsThroughSns) and is_sns_message(request.headers):
            return self._from_sns(name, request)
        if isinstance(provider, SignsReceipts):
            self._verify_signature(name, provider, request)
        else:
            authenticate("sms:send", basic=True)
        return Caller(name, request.client, request=request)

    def verify_token(self, request: RawRequest) -> Caller:
        """Verify a request by the token in its path.

        Raises:
            Problem: 403 or 404.
        """
        name, provider = self._provider(request)
        if not matches_any(request.path["token"], (one.reveal() for one in self.settings().sms_receipt_tokens)):
            raise _refusal("the path token is not one of SMS_RECEIPT_TOKENS")
        if isinstance(provider, ReportsThroughSns) and is_sns_message(request.headers):
            return self._from_sns(name, request)
        return Caller(name, request.client, request=request)

    def read(self, request: RawRequest) -> list[T]:
        """Return what a verified request holds.

        Raises:
            Problem: 422, the body cannot be read.
        """
        _, provider = self._provider(request)
        try:
            return list(getattr(provider, self.posted.read)(request.body, request.headers))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(422, self.posted.unreadable) from error

    def response(self, name: str) -> Response:
        """Return the response that a provider wants."""
        status, content_type, text = getattr(self.providers[name], self.posted.answer)
        return Response(text, status, content_type=content_type)

    def _provider(self, request: RawRequest) -> tuple[str, Any]:
        name = request.path["provider"]
        provider = self.providers.get(name)
        if not isinstance(provider, self.posted.protocol):
            raise Problem(404, self.posted.absent)
        return name, provider

    def _verify_signature(self, name: str, provider: SignsReceipts, request: RawRequest) -> None:
        """Verify a provider's signature, with the newest secret where the known one does not match."""
        account, scheme = self.accounts.get(name), provider.receipt_scheme(self.settings().sms_public_url)
        for _ in range(2):
            try:
                scheme.verify(request, provider.receipt_secrets(account), self.clock.now_ms() / 1000)
            except Unverified as error:
                if not self.accounts.refresh(name, account):
                    raise _refusal(error.why) from error
                account = self.accounts.get(name)
            else:
                return
        raise _refusal("no secret verifies the signature")

    def _from_sns(self, name: str, request: RawRequest) -> Caller:
        """Return the caller with the event in SNS's envelope; `Answered` where SNS asked for something else."""
        try:
            message = self.sns.receive(request.body)
        except Unverified as error:
            raise _refusal(error.why) from error
        if message is None:
            raise Answered(self.response(name))
        return Caller(name, request.client, request=replace(request, body=message.message.encode()))


def _refusal(why: str) -> Problem:
    log.warning("sms_receipt_refused", reason=why)
    return Problem(403, "the request did not prove where it comes from")
