"""Numbering plans: read a number in E.164 by the metadata of libphonenumber, without its parser.

Most receivers are written as E.164. `phonenumbers` takes 55 µs for one, as it looks for extensions, prefixes and vanity
letters first. What is not plain here is left to it; a property test compares both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from carboy.extras import extra

_MAX_NATIONAL_DIGITS = 17
_ORDER = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)
"""In which order libphonenumber looks for the type of a number."""


@dataclass(frozen=True, slots=True)
class PlainNumber:
    """A number that libphonenumber would read without a change.

    Attributes:
        country_code: such as `86`.
        national: the digits after the country code.
        region: the ISO 3166 code of its country.
        kind: its type, a name of `carboy.services.sms.numbers.NUMBER_TYPES`.
    """

    country_code: str
    national: str
    region: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Description:
    lengths: frozenset[int]
    pattern: re.Pattern[str]

    def matches(self, national: str) -> bool:
        return (not self.lengths or len(national) in self.lengths) and self.pattern.fullmatch(national) is not None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The numbering plan of a region."""

    region: str
    leading: re.Pattern[str] | None
    general: _Description
    kinds: tuple[tuple[str, _Description], ...]
    mobile: _Description | None

    def kind_of(self, national: str) -> str:
        """Return the type of a number; empty if the plan has no such number."""
        if not self.general.matches(national):
            return ""
        kind = next((name for name, one in self.kinds if one.matches(national)), "")
        if kind == "fixed_line" and (self.mobile is None or self.mobile.matches(national)):
            return "fixed_line_or_mobile"
        return kind


def read_e164(digits: str) -> PlainNumber | None:
    """Return a number; None if it is not plain, or not valid: ask `phonenumbers`.

    Args:
        digits: ASCII, of the country code and the national number.
    """
    codes = _country_codes()
    code = next((digits[:size] for size in (1, 2, 3) if digits[:size] in codes), "")
    national = digits[len(code) :]
    if not code or national[:1] in {"", "0"} or len(national) > _MAX_NATIONAL_DIGITS:
        return None
    prefix, plans = _plans(code)
    if prefix is not None and prefix.match(national):
        return None
    for plan in plans:
        if plan.leading is not None and plan.leading.match(national) is None:
            continue
        kind = plan.kind_of(national)
        if kind:
            return PlainNumber(code, national, plan.region, kind)
        if plan.leading is not None:
            return None
    return None


@cache
def _country_codes() -> frozenset[str]:
    """Return the country codes of regions; numbers of no country, such as +800, are left out."""
    with extra("sms"):
        from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
    return frozenset(str(code) for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() if regions != ("001",))


@cache
def _plans(code: str) -> tuple[re.Pattern[str] | None, tuple[_Plan, ...]]:
    """Return the national prefix of a country code, and the plans of its regions, the main one first."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
    main = PhoneMetadata.metadata_for_region(regions[0])
    assert main is not None
    prefix = main.national_prefix_for_parsing
    found = [(region, PhoneMetadata.metadata_for_region(region)) for region in regions]
    return re.compile(prefix) if prefix else None, tuple(_plan(region, one) for region, one in found if one is not None)


def _plan(region: str, metadata: Any) -> _Plan:
    is_same = metadata.same_mobile_and_fixed_line_pattern
    general = _describe(metadata.general_desc)
    assert general is not None
    leading = None if metadata.leading_digits is None else re.compile(metadata.leading_digits)
    mobile = None if is_same else _describe(metadata.mobile) or _NOTHING
    return _Plan(region, leading, general, tuple(_kinds(metadata, is_same=is_same)), mobile)


def _kinds(metadata: Any, *, is_same: bool) -> Iterator[tuple[str, _Description]]:
    for name in _ORDER:
        described = _describe(getattr(metadata, name))
        if described is not None and not (is_same and name == "mobile"):
            yield name, described


def _describe(description: Any) -> _Description | None:
    if description is None or not description.national_number_pattern:
        return None
    return _Description(frozenset(description.possible_length), re.compile(description.national_number_pattern))


_NOTHING = _Description(frozenset(), re.compile(r"(?!)"))
