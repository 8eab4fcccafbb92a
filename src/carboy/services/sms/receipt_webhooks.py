"""Let receipts in, each in its provider's own way, and say what they report.

Twilio signs, Amazon sends them through SNS, which signs; the others do not, so their address has a secret in it, or a
key comes along.
"""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request

from carboy.clock import Clock
from carboy.logs import BoundLogger, get_logger
from carboy.problems import Problem
from carboy.redact import Secret
from carboy.services.sms.accounts import Accounts
from carboy.services.sms.providers import ReadsReceipts, Receipt, ReportsThroughSns, SignsReceipts
from carboy.web import authenticate

__all__ = ["ReceiptGate"]

log: BoundLogger = get_logger("carboy.sms")


@dataclass(slots=True)
class ReceiptGate:
    """Checks the current request and reads it.

    Attributes:
        providers: by name.
        kinds: what each is, by name.
        accounts: whose secrets verify.
        tokens: path tokens.
        public_url: where this service is reached, where a proxy changes the address; empty for as it comes.
        topic_arns: of SNS that may bring events.
        clock: what time it is.
    """

    providers: dict[str, Any]
    kinds: dict[str, str]
    accounts: Accounts
    tokens: Sequence[Secret]
    public_url: str
    topic_arns: Collection[str]
    clock: Clock
    _verifier: Any = None

    def open(self, name: str, token: str | None) -> list[Receipt]:
        """Return the receipts of the current request; none where a topic only asked for its subscription.

        Raises:
            Problem: 401, 403, 404 or 422.
        """
        provider = self.providers.get(name)
        if not isinstance(provider, ReadsReceipts):
            raise Problem(404, "there is no such provider, or it sends no receipts")
        if token is not None and not self._knows(token):
            raise self._refusal("the path token is none of SMS_RECEIPT_TOKENS")
        body: bytes | None = request.get_data(cache=False)
        assert body is not None
        if isinstance(provider, ReportsThroughSns) and "HTTP_X_AMZ_SNS_MESSAGE_TYPE" in request.environ:
            body = self._from_sns(body)
        elif isinstance(provider, SignsReceipts) and token is None:
            self._verify_signed(name, provider, body)
        elif token is None:
            authenticate("sms:send", basic=True)
        if body is None:
            return []
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            found: list[Receipt] = provider.read_receipts(body, headers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(422, "the body is no receipt of this provider") from error
        return found

    def _knows(self, token: str) -> bool:
        given = token.encode()
        return sum(hmac.compare_digest(given, one.reveal().encode()) for one in self.tokens) > 0  # all are compared

    def _verify_signed(self, name: str, provider: SignsReceipts, body: bytes) -> None:
        from carboy.webhooks import Incoming, Unverified

        incoming = Incoming(request.method, request.url, dict(request.headers.items()), body)
        account, scheme = self.accounts.get(name), provider.receipt_scheme(self.public_url)
        for _ in range(2):
            try:
                scheme.verify(incoming, provider.receipt_secrets(account), self.clock.now_ms() / 1000)
            except Unverified as error:
                if not self.accounts.refresh(name, account):
                    raise self._refusal(error.why) from error
                account = self.accounts.get(name)
            else:
                return
        raise self._refusal("no secret verifies the signature")

    def _from_sns(self, body: bytes) -> bytes | None:
        """Return the event in a message of SNS; None where there is none."""
        from carboy.aws import client
        from carboy.webhooks import (
            Certificates,
            Notification,
            SubscriptionConfirmation,
            Unverified,
            Verifier,
            confirm,
            fetch_url,
        )

        if self._verifier is None:
            self._verifier = Verifier(self.topic_arns, Certificates(fetch_url, clock=self.clock), clock=self.clock)
        try:
            message = self._verifier.open(body)
            if isinstance(message, SubscriptionConfirmation):
                by = confirm(message, make_client=lambda region: client("sns", region_name=region), fetch=fetch_url)
                log.info("sns_subscription_confirmed", topic_arn=message.topic_arn, by=by)
        except Unverified as error:
            raise self._refusal(error.why) from error
        return message.message.encode() if isinstance(message, Notification) else None

    def _refusal(self, why: str) -> Problem:
        log.warning("sms_receipt_refused", reason=why)
        return Problem(403, "the request did not prove where it comes from")
