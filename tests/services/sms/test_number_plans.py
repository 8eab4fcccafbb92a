"""The quick reading of E.164 and libphonenumber say the same of every number."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from carboy.services.sms.number_plans import read_e164
from carboy.services.sms.numbers import NUMBER_TYPES, parse_number

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
NAMES = {getattr(PhoneNumberType, name.upper()): name for name in NUMBER_TYPES}


def by_the_library(digits: str) -> tuple[str, str, str] | None:
    """Return E.164, region and type; None for a number that is not valid."""
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return None
    kind = phonenumbers.number_type(parsed)
    if kind == PhoneNumberType.UNKNOWN:
        return None
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return e164, phonenumbers.region_code_for_number(parsed) or "001", NAMES[kind]


def check(digits: str) -> bool:
    """Compare both; return whether the quick way read it."""
    found = read_e164(digits)
    if found is not None:
        assert (f"+{found.country_code}{found.national}", found.region, found.kind) == by_the_library(digits)
    return found is not None


def examples() -> list[str]:
    """Return an example of each type of number of each region, as digits."""
    found = set()
    for region in REGIONS:
        for kind in NAMES:
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                found.add(phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:])
    return sorted(found)


EXAMPLES = examples()


@pytest.mark.slow
def test_every_example_of_every_region_and_type_is_read_alike() -> None:
    """And nearly all of them the quick way."""
    quick = [check(digits) for digits in EXAMPLES]
    assert len(quick) > 900
    assert sum(quick) > 0.9 * len(quick)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """An example with a few digits changed, added or left out."""
    digits = list(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(1, 4))):
        at, new = draw(st.integers(1, len(digits) - 1)), draw(st.sampled_from("0123456789"))
        match draw(st.sampled_from(["change", "add", "drop"])):
            case "change":
                digits[at] = new
            case "add":
                digits.insert(at, new)
            case _ if len(digits) > 7:
                del digits[at]
    return "".join(digits)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(mutations())
def test_what_is_near_an_example_is_read_alike(digits: str) -> None:
    check(digits)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(CODES), st.text("0123456789", min_size=4, max_size=14))
@example(1, "8005550100")
@example(44, "07911123456")
@example(39, "0612345678")
@example(800, "12345678")
@example(7, "7710009998")
@example(86, "13800000000")
@example(52, "15512345678")
@example(54, "91123456789")
def test_any_digits_after_any_country_code_are_read_alike(code: int, national: str) -> None:
    check(f"{code}{national}")


@pytest.mark.slow
def test_a_number_is_the_same_whichever_way_reads_it() -> None:
    """A blank takes the other way."""
    for digits in EXAMPLES[::7]:
        code = next(str(one) for one in sorted(CODES, reverse=True) if digits.startswith(str(one)))
        assert parse_number(f"+{digits}") == parse_number(f"+{code} {digits[len(code) :]}")
