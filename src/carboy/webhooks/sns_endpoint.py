"""The endpoint of Amazon SNS: verify what it sends, confirm subscriptions, and log both."""

from collections.abc import Callable, Collection
from typing import Any, Literal

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.extras import extra
from carboy.logs import BoundLogger, get_logger
from carboy.webhooks.certificates import Certificates, fetch_url
from carboy.webhooks.sns import Notification, SubscriptionConfirmation, Verifier, is_sns_url, region_of
from carboy.webhooks.verification import Unverified

log: BoundLogger = get_logger("carboy.webhooks")


class SnsEndpoint:
    """Receives what topics of ours send.

    Args:
        topic_arns: the topics that may post.
        clock: gives the age of messages.
        max_age_s: how far a message's time may be from now.
        require_v2: refuse signature version 1, which is SHA-1.
        fetch: gets certificates, and a subscription's URL where there are no credentials.
        make_client: makes boto3's SNS client of a region; by default that of `carboy.aws`.
    """

    def __init__(
        self,
        topic_arns: Collection[str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        max_age_s: float = 3600.0,
        require_v2: bool = False,
        fetch: Callable[[str], bytes] = fetch_url,
        make_client: Callable[[str], Any] | None = None,
    ) -> None:
        self.topic_arns: frozenset[str] = frozenset(topic_arns)
        self._fetch, self._make_client = fetch, make_client or _sns_client
        self._verifier = Verifier(
            self.topic_arns,
            Certificates(fetch, clock=clock),
            clock=clock,
            max_age_s=max_age_s,
            require_v2=require_v2,
        )

    def receive(self, body: bytes) -> Notification | None:
        """Return a notification; None where a subscription was confirmed or has ended.

        Raises:
            Problem: 400, the body is not JSON.
            Unverified: anything about the message is wrong.
            UpstreamError: the certificate could not be fetched, or the subscription not be confirmed; SNS tries again.
        """
        match self._verifier.open(body):
            case Notification() as message:
                return message
            case SubscriptionConfirmation() as asked:
                log.info("sns_subscription_confirmed", topic_arn=asked.topic_arn, by=self.confirm(asked))
            case ended:
                log.warning("sns_unsubscribed", topic_arn=ended.topic_arn)
        return None

    def confirm(self, asked: SubscriptionConfirmation) -> Literal["api", "url"]:
        """Confirm a verified subscription, and return how it was done.

        By the API only who has our credentials can end the subscription. Without credentials the message's own URL,
        which Amazon signed, is fetched.

        Raises:
            Unverified: the URL is not Amazon's.
            UpstreamError: the subscription was not confirmed.
        """
        region = region_of(asked.topic_arn)
        with extra("aws"):
            from botocore.exceptions import NoCredentialsError

        try:
            self._make_client(region).confirm_subscription(
                TopicArn=asked.topic_arn, Token=asked.token, AuthenticateOnUnsubscribe="true"
            )
        except NoCredentialsError:
            if not is_sns_url(asked.subscribe_url, asked.topic_arn):
                raise Unverified("the subscription's URL is not at an address of Amazon SNS") from None
            self._fetch(asked.subscribe_url)
            return "url"
        return "api"


def _sns_client(region: str) -> Any:
    from carboy.aws import client

    return client("sns", region_name=region)
