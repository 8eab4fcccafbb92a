"""Telephone numbers: read to E.164, shown with a mask, hashed for look-ups."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from carboy.errors import Fault, InvalidInput
from carboy.extras import extra

__all__ = ["Number", "hash_number", "mask_number", "parse_number", "read_receivers"]

MAX_RECEIVERS = 1000


@dataclass(frozen=True, slots=True)
class Number:
    """A number that can be written to.

    Attributes:
        e164: `+8613800000000`.
        shown: `+86138****0000`, which may be logged.
        region: the ISO 3166 code of its country, such as `CN`; `001` for numbers of no country.
    """

    e164: str
    shown: str
    region: str

    def __repr__(self) -> str:
        return f"Number({self.shown})"


def parse_number(text: str, default_region: str = "", countries: Collection[str] = ()) -> Number:
    """Return the number that a text says.

    Args:
        text: E.164, or as it is dialled within the default region.
        default_region: an ISO 3166 code; empty to take E.164 only.
        countries: the regions that may be written to; empty for all.

    Raises:
        InvalidInput: it is no number, or of a country that may not be written to; the words do not repeat it.
    """
    with extra("sms"):
        import phonenumbers
    try:
        parsed = phonenumbers.parse(text, default_region or None)
    except phonenumbers.NumberParseException:
        hint = "" if default_region else ": write it as E.164, such as +8613800000000"
        raise _wrong(f"it is no telephone number{hint}") from None
    if not phonenumbers.is_valid_number(parsed) or parsed.extension:
        raise _wrong("no telephone has this number")
    region = phonenumbers.region_code_for_number(parsed) or "001"
    if countries and region not in countries:
        raise _wrong(f"SMS_COUNTRIES does not name its country, {region}")
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return Number(e164, _mask(f"+{parsed.country_code}", e164[len(str(parsed.country_code)) + 1 :]), region)


def read_receivers(
    given: Any, default_region: str, countries: Collection[str], pointer: str = "/receivers"
) -> tuple[list[Number], list[Fault]]:
    """Return the receivers of a request, each once in the order given, and all that is wrong with them.

    Args:
        given: a list of texts, or one text with commas.
        default_region: see `parse_number`.
        countries: see `parse_number`.
        pointer: where the receivers stand in the body.
    """
    is_list = isinstance(given, list)
    if not is_list and not isinstance(given, str):
        return [], [Fault(pointer, "it must be a text with commas, or a list of texts")]
    texts: Sequence[Any] = given if is_list else [one.strip() for one in given.split(",") if one.strip()]
    if not texts:
        return [], [Fault(pointer, "there is no receiver")]
    if len(texts) > MAX_RECEIVERS:
        return [], [Fault(pointer, f"there are {len(texts)} receivers; at most {MAX_RECEIVERS} are taken at once")]
    found: dict[str, Number] = {}
    faults = []
    for place, text in enumerate(texts):
        at = f"{pointer}/{place}" if is_list else pointer
        which = "" if is_list or len(texts) == 1 else f"number {place + 1}: "
        if not isinstance(text, str):
            faults.append(Fault(at, "it must be a text"))
            continue
        try:
            number = parse_number(text, default_region, countries)
        except InvalidInput as error:
            faults.append(Fault(at, which + error.why))
        else:
            found.setdefault(number.e164, number)
    return list(found.values()), faults


def mask_number(text: str) -> str:
    """Return any number as it may be shown, also one that is written in a way of its own."""
    try:
        return parse_number(text if text.startswith("+") else f"+{text}").shown
    except InvalidInput:
        return _mask("", text)


def hash_number(e164: str, key: bytes) -> str:
    """Return what stands for a number in look-ups: an HMAC, as all numbers of the world are soon tried."""
    return hmac.new(key, e164.encode(), hashlib.sha256).hexdigest()


def _mask(prefix: str, digits: str) -> str:
    head, tail = (3, 4) if len(digits) >= 10 else (1, 2)
    return f"{prefix}{digits[:head]}****{digits[-tail:]}" if len(digits) > head + tail else f"{prefix}****"


def _wrong(why: str) -> InvalidInput:
    return InvalidInput("the number cannot be used", why, "")
