"""Verify webhooks of any sender: signatures, tokens, messages of Amazon SNS."""

from carboy.webhooks.certificates import Certificates, fetch_url
from carboy.webhooks.handshakes import HANDSHAKES, Handshake, Reply, handshake_faults
from carboy.webhooks.named_schemes import OPTIONS, SCHEMES, make_scheme
from carboy.webhooks.places import find, find_text, is_place
from carboy.webhooks.schemes import Basic, Bearer, Open, StandardWebhooks, Twilio
from carboy.webhooks.signatures import Signature
from carboy.webhooks.sns import (
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
    Verifier,
    is_raw_delivery,
    is_sns_message,
    read_raw,
)
from carboy.webhooks.sns_endpoint import SnsEndpoint
from carboy.webhooks.verification import Scheme, Unverified, matches_any

__all__ = [
    "HANDSHAKES",
    "OPTIONS",
    "SCHEMES",
    "Basic",
    "Bearer",
    "Certificates",
    "Handshake",
    "Notification",
    "Open",
    "Reply",
    "Scheme",
    "Signature",
    "SnsEndpoint",
    "StandardWebhooks",
    "SubscriptionConfirmation",
    "Twilio",
    "UnsubscribeConfirmation",
    "Unverified",
    "Verifier",
    "fetch_url",
    "find",
    "find_text",
    "handshake_faults",
    "is_place",
    "is_raw_delivery",
    "is_sns_message",
    "make_scheme",
    "matches_any",
    "read_raw",
]
