"""Read inbound messages that a provider posts; they are verified as delivery reports are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response

from carboy.api import Caller, RawRequest
from carboy.problems import Problem
from carboy.services.sms.providers import Inbound, ReadsInbound
from carboy.services.sms.receipt_webhooks import ReceiptWebhooks


@dataclass(frozen=True, slots=True)
class InboundWebhooks:
    """The security schemes of inbound messages, and what reads them.

    Attributes:
        providers: by name.
        receipts: verifies.
    """

    providers: Mapping[str, Any]
    receipts: ReceiptWebhooks

    def verify_inbound(self, request: RawRequest) -> Caller:
        """Verify a message by its provider's signature, or by a key.

        Raises:
            Problem: 401, 403 or 404.
        """
        self._provider(request)
        return self.receipts.verify_receipt(request)

    def verify_token(self, request: RawRequest) -> Caller:
        """Verify a message by the token in its path.

        Raises:
            Problem: 403 or 404.
        """
        self._provider(request)
        return self.receipts.verify_token(request)

    def read(self, request: RawRequest) -> list[Inbound]:
        """Return the messages in a verified request.

        Raises:
            Problem: 422, the body is no message of this provider.
        """
        try:
            return self._provider(request).read_inbound(request.body, request.headers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(422, "the body is no inbound message of this provider") from error

    def response(self, name: str) -> Response:
        """Return the response that a provider wants."""
        status, content_type, text = self.providers[name].inbound_answer
        return Response(text, status, content_type=content_type)

    def _provider(self, request: RawRequest) -> ReadsInbound:
        provider = self.providers.get(request.path["provider"])
        if not isinstance(provider, ReadsInbound):
            raise Problem(404, "there is no such provider, or it passes on no messages")
        return provider
