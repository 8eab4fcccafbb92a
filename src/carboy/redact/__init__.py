"""Keep secrets out of text: a holder that never shows its value, names that sound secret, values known to be secret.

Everything here masks; what counts as a secret in a log line, an error or `settings show` is decided in this one place.
"""

from carboy.redact.known import forget_secrets, register_secret
from carboy.redact.masking import is_secret_pair, mask
from carboy.redact.secret import MASK, Secret
from carboy.redact.secret_names import is_secret_name
from carboy.redact.text import mask_text, mask_url, may_hold_secret

__all__ = [
    "MASK",
    "Secret",
    "forget_secrets",
    "is_secret_name",
    "is_secret_pair",
    "mask",
    "mask_text",
    "mask_url",
    "may_hold_secret",
    "register_secret",
]
