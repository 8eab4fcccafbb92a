"""How those who call without a key prove who they are: webhooks of any sender, messages of Amazon SNS."""

from carboy.webhooks.certificates import Certificates, fetch_url
from carboy.webhooks.schemes import (
    ALGORITHMS,
    ENCODINGS,
    PLACEHOLDERS,
    Basic,
    Bearer,
    Hmac,
    Incoming,
    Open,
    Scheme,
    StandardWebhooks,
    Stripe,
    Twilio,
    Unverified,
)
from carboy.webhooks.sns import (
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
    Verifier,
    confirm,
    is_raw_delivery,
    read_raw,
)

__all__ = [
    "ALGORITHMS",
    "ENCODINGS",
    "PLACEHOLDERS",
    "Basic",
    "Bearer",
    "Certificates",
    "Hmac",
    "Incoming",
    "Notification",
    "Open",
    "Scheme",
    "StandardWebhooks",
    "Stripe",
    "SubscriptionConfirmation",
    "Twilio",
    "UnsubscribeConfirmation",
    "Unverified",
    "Verifier",
    "confirm",
    "fetch_url",
    "is_raw_delivery",
    "read_raw",
]
