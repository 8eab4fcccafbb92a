"""Telephone numbers: parsed to E.164, masked for display, hashed for look-ups."""

import hmac
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from carboy.errors import Fault, InvalidInput
from carboy.extras import extra
from carboy.services.sms.number_plans import PlainNumber, read_e164

MAX_RECEIVERS = 1000
NUMBER_TYPES = (
    "fixed_line",
    "mobile",
    "fixed_line_or_mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
"""The types of libphonenumber, in the order of its `PhoneNumberType`."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_WRITTEN = re.compile(r"\+?[\d ().\-\u2010-\u2015]+")
_DIGITS = re.compile(r"\+?\d(?:[\s().-]{0,2}\d){3,}")


@dataclass(frozen=True, slots=True)
class Number:
    """A number that can receive SMS.

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


@dataclass(frozen=True, slots=True)
class NumberRules:
    """Which numbers may be written to.

    Attributes:
        default_region: an ISO 3166 code, for numbers without a country code; empty to take E.164 only.
        countries: the regions that may be written to; empty for all.
        types: the types of number that may be written to (`NUMBER_TYPES`); empty for all.
        tests: test numbers, E.164, which are allowed whatever they are.
    """

    default_region: str = ""
    countries: Collection[str] = ()
    types: Collection[str] = ()
    tests: Collection[str] = ()

    @property
    def of_look_ups(self) -> "NumberRules":
        """The same without limits of country and type: what was sent before they changed can be looked up."""
        return NumberRules(self.default_region, tests=self.tests)


ANY_NUMBER = NumberRules()


def parse_number(text: str, rules: NumberRules = ANY_NUMBER) -> Number:
    """Return the number that a text contains.

    Letters are refused, as a mistyped or masked number would reach another person; so are extensions, `tel:` URIs and
    more than one number. Digits of any script and full-width characters are read.

    Args:
        text: E.164, or as dialled within the default region, with blanks, dots, hyphens or brackets.
        rules: which numbers are allowed.

    Raises:
        InvalidInput: it is not a number that may be written to; the message does not repeat it.
    """
    found = read_e164(text[1:]) if _E164.fullmatch(text) and text not in rules.tests else None
    if found is None:
        found = _parse(text, rules)
    e164 = f"+{found.country_code}{found.national}"
    number = Number(e164, _mask(f"+{found.country_code}", found.national), found.region)
    if e164 in rules.tests:
        return number
    if rules.types and found.kind not in rules.types:
        raise _wrong(f"SMS_NUMBER_TYPES does not allow its type, {found.kind}")
    if rules.countries and found.region not in rules.countries:
        raise _wrong(f"SMS_COUNTRIES does not allow its country, {found.region}")
    return number


def _parse(text: str, rules: NumberRules) -> PlainNumber:
    """Return the number that a text contains, by libphonenumber; one of `rules.tests` whether it is valid or not."""
    with extra("sms"):
        import phonenumbers
    plain = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf").strip()
    if not _WRITTEN.fullmatch(plain) or any(unicodedata.category(one) == "No" for one in text):
        raise _wrong("not a telephone number: it has characters other than digits" if plain else "it is empty")
    try:
        parsed = phonenumbers.parse(plain, rules.default_region or None)
    except phonenumbers.NumberParseException:
        hint = "" if rules.default_region else ": write it as E.164, such as +8613800000000"
        raise _wrong(f"not a telephone number{hint}") from None
    code, national = str(parsed.country_code), str(parsed.national_number)
    if f"+{code}{national}" in rules.tests:
        return PlainNumber(code, national, phonenumbers.region_code_for_country_code(int(code)), "test")
    kind = phonenumbers.number_type(parsed)  # unknown of a number that is not valid
    if kind == phonenumbers.PhoneNumberType.UNKNOWN or parsed.extension:
        raise _wrong("no telephone has this number")
    name = next((name for name in NUMBER_TYPES if getattr(phonenumbers.PhoneNumberType, name.upper()) == kind), "other")
    region = phonenumbers.region_code_for_number(parsed) or "001"
    return PlainNumber(code, phonenumbers.national_significant_number(parsed), region, name)


def read_receivers(given: Any, rules: NumberRules = ANY_NUMBER) -> tuple[dict[Number, str], list[Fault]]:
    """Return the receivers of a request, each once in the order given, with its pointer in the body, and every fault.

    Args:
        given: a list of texts, or one text with commas.
        rules: which numbers are allowed.
    """
    is_list, pointer = isinstance(given, list), "/receivers"
    if not is_list and not isinstance(given, str):
        return {}, [Fault(pointer, "it must be a text with commas, or a list of texts")]
    texts: Sequence[Any] = given if is_list else [one.strip() for one in given.split(",") if one.strip()]
    if not texts:
        return {}, [Fault(pointer, "there is no receiver")]
    if len(texts) > MAX_RECEIVERS:
        return {}, [Fault(pointer, f"there are {len(texts)} receivers; at most {MAX_RECEIVERS} are taken at once")]
    found: dict[Number, str] = {}
    faults = []
    for place, text in enumerate(texts):
        at = f"{pointer}/{place}" if is_list else pointer
        which = "" if is_list or len(texts) == 1 else f"number {place + 1}: "
        if not isinstance(text, str):
            faults.append(Fault(at, "it must be a text"))
            continue
        try:
            found.setdefault(parse_number(text, rules), at)
        except InvalidInput as error:
            faults.append(Fault(at, which + error.why))
    return found, faults


def mask_digits(text: str) -> str:
    """Return a text with every run of four or more digits masked: it may repeat a number or a code."""

    def mask(found: re.Match[str]) -> str:
        digits = "".join(filter(str.isdecimal, found[0]))
        return _mask("", digits) if len(digits) >= 10 else "****"

    return _DIGITS.sub(mask, text)


def hash_number(e164: str, key: bytes) -> str:
    """Return the HMAC of a number for look-ups; a plain hash could be reversed by trying all numbers."""
    return hmac.digest(key, e164.encode(), "sha256").hex()


def _mask(prefix: str, digits: str) -> str:
    head, tail = (3, 4) if len(digits) >= 10 else (1, 2)
    return f"{prefix}{digits[:head]}****{digits[-tail:]}" if len(digits) > head + tail else f"{prefix}****"


def _wrong(why: str) -> InvalidInput:
    return InvalidInput("the number cannot be used", why, "")
