"""Verify webhooks of any sender, and deliver our own: signatures, tokens, Amazon SNS, retries."""

from carboy.webhooks.certificates import Certificates, fetch_url
from carboy.webhooks.cloudevents import cloudevent_id, cloudevent_type, split_batch
from carboy.webhooks.compression import open_body
from carboy.webhooks.delivery import (
    RETRY_SCHEDULE_S,
    Attempt,
    Progress,
    WebhookClient,
    advance,
    hide_secrets,
    next_wait_s,
    sign,
)
from carboy.webhooks.handshakes import HANDSHAKES, Handshake, Reply, handshake_faults
from carboy.webhooks.named_schemes import OPTIONS, SCHEMES, make_scheme
from carboy.webhooks.places import find, find_text, is_place, put_at
from carboy.webhooks.presets import Preset, find_preset, list_presets, nearest_preset
from carboy.webhooks.samples import sign_sample
from carboy.webhooks.schemes import Basic, Bearer, Open, Twilio
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
from carboy.webhooks.standard_webhooks import StandardWebhooks
from carboy.webhooks.verification import Scheme, Unverified, matches_any

__all__ = [
    "HANDSHAKES",
    "OPTIONS",
    "RETRY_SCHEDULE_S",
    "SCHEMES",
    "Attempt",
    "Basic",
    "Bearer",
    "Certificates",
    "Handshake",
    "Notification",
    "Open",
    "Preset",
    "Progress",
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
    "WebhookClient",
    "advance",
    "cloudevent_id",
    "cloudevent_type",
    "fetch_url",
    "find",
    "find_preset",
    "find_text",
    "handshake_faults",
    "hide_secrets",
    "is_place",
    "is_raw_delivery",
    "is_sns_message",
    "list_presets",
    "make_scheme",
    "matches_any",
    "nearest_preset",
    "next_wait_s",
    "open_body",
    "put_at",
    "read_raw",
    "sign",
    "sign_sample",
    "split_batch",
]
