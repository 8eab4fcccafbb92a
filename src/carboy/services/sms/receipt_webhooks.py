"""Verify delivery reports, in each provider's own way, and read them.

Twilio signs, Amazon sends them through SNS, which signs; the others do not, so their address has a secret in it, or a
key comes along.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Response

from carboy.api import Answered, Caller, RawRequest
from carboy.clock import Clock
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.services.sms.accounts import Accounts
from carboy.services.sms.providers import ReadsReceipts, Receipt, ReportsThroughSns, SignsReceipts
from carboy.services.sms.settings import SmsSettings
from carboy.web import authenticate
from carboy.webhooks import SnsEndpoint, Unverified, is_sns_message, matches_any

log: BoundLogger = get_logger("carboy.sms")


@dataclass(frozen=True, slots=True)
class ReceiptWebhooks:
    """The security schemes of delivery reports, and what reads them.

    Attributes:
        providers: by name.
        accounts: whose secrets verify.
        sns: receives what Amazon SNS sends.
        settings: returns the settings as they are now.
        clock: gives the age of signatures.
    """

    providers: Mapping[str, Any]
    accounts: Accounts
    sns: SnsEndpoint
    settings: Callable[[], SmsSettings]
    clock: Clock

    def verify_receipt(self, request: RawRequest) -> Caller:
        """Verify a report by its provider's signature, or by a key.

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
        """Verify a report by the token in its path.

        Raises:
            Problem: 403 or 404.
        """
        name, provider = self._provider(request)
        if not matches_any(request.path["token"], (one.reveal() for one in self.settings().sms_receipt_tokens)):
            raise _refusal("the path token is not one of SMS_RECEIPT_TOKENS")
        if isinstance(provider, ReportsThroughSns) and is_sns_message(request.headers):
            return self._from_sns(name, request)
        return Caller(name, request.client, request=request)

    def read(self, request: RawRequest) -> list[Receipt]:
        """Return the reports in a verified request.

        Raises:
            Problem: 422, the body is no report of this provider.
        """
        try:
            return list(self._provider(request)[1].read_receipts(request.body, request.headers))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(422, "the body is no receipt of this provider") from error

    def response(self, name: str) -> Response:
        """Return the response that a provider wants."""
        status, content_type, text = self.providers[name].receipt_answer
        return Response(text, status, content_type=content_type)

    def _provider(self, request: RawRequest) -> tuple[str, ReadsReceipts]:
        name = request.path["provider"]
        provider = self.providers.get(name)
        if not isinstance(provider, ReadsReceipts):
            raise Problem(404, "there is no such provider, or it sends no receipts")
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
