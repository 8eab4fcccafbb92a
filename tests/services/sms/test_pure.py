"""What decides without touching the world: states, order, circuits, templates, numbers."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.errors import InvalidInput
from carboy.services.sms.circuit_breaker import Circuits
from carboy.services.sms.numbers import NumberRules, mask_digits, parse_number, read_receivers
from carboy.services.sms.routing import draw_order, read_order
from carboy.services.sms.segments import billed_in_china
from carboy.services.sms.states import STATES, State, settle
from carboy.services.sms.templates import read_params, read_template, template_faults
from carboy.testing import ManualClock


@pytest.mark.slow
@given(st.lists(st.sampled_from(STATES), min_size=1, max_size=5))
def test_reports_in_any_order_and_twice_end_in_the_same_state(told: list[State]) -> None:
    ends = set()
    for order in itertools.permutations(told):
        state: State = "queued"
        for one in (*order, *order):
            state = settle(state, one)
        ends.add(state)
    assert len(ends) == 1


def test_what_was_delivered_stays_delivered() -> None:
    assert settle("delivered", "sent") == "delivered"
    assert settle("undelivered", "delivered") == "delivered"
    assert settle("failed", "sent") == "sent"


def test_an_order_is_kept() -> None:
    assert draw_order(read_order(["aliyun", "twilio"])) == ["aliyun", "twilio"]


def test_weights_are_what_is_drawn() -> None:
    """Three in four go to the one of weight 3 first; every order names everybody."""
    places = read_order(["a:3", "b:1"])
    draws = [number / 1000 for number in range(1000)]
    orders = [draw_order(places, None, iter((draw, 0.5)).__next__) for draw in draws]
    assert Counter(order[0] for order in orders) == {"a": 750, "b": 250}
    assert all(sorted(order) == ["a", "b"] for order in orders)


@pytest.mark.parametrize("texts", [["a:x"], ["a:0"], ["a", "a"], ["a:1", "b"], ["a:inf"]])
def test_an_order_that_means_nothing_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"weight|twice"):
        read_order(texts)


def test_a_circuit_opens_lets_one_probe_through_and_closes() -> None:
    clock = ManualClock()
    circuits = Circuits(["a"], open_s=30, clock=clock)
    assert circuits.admit("a")
    circuits.fail("a", "down")
    assert not circuits.admit("a")
    assert circuits.opens_in_s(["a"]) == 30
    clock.advance(30)
    assert circuits.shown()["a"] == ("half-open", "down")
    assert circuits.admit("a")
    assert not circuits.admit("a")  # the probe has the only turn
    circuits.succeed("a")
    assert circuits.admit("a")
    assert circuits.admit("a")


def test_a_probe_that_fails_opens_the_circuit_again() -> None:
    clock = ManualClock()
    circuits = Circuits(["a"], threshold=3, open_s=30, clock=clock)
    for _ in range(3):
        assert circuits.admit("a")
        circuits.fail("a", "down")
    assert not circuits.admit("a")
    clock.advance(30)
    assert circuits.admit("a")
    circuits.fail("a", "still down")
    assert not circuits.admit("a")
    assert circuits.shown()["a"] == ("open", "still down")


def test_a_probe_that_never_ends_does_not_hold_the_circuit_for_ever() -> None:
    clock = ManualClock()
    circuits = Circuits(["a"], open_s=30, clock=clock)
    circuits.fail("a", "down")
    clock.advance(30)
    assert circuits.admit("a")
    clock.advance(30)
    assert circuits.admit("a")


def test_a_parameter_is_not_read_as_a_template() -> None:
    template = read_template("t", {"params": ["a", "b"], "text": "{a} and {b}"})
    assert template.render({"a": "{b}", "b": "x"}) == "{b} and x"


def test_every_fault_of_the_params_is_reported() -> None:
    template = read_template("t", {"params": ["a", "b"], "text": "{a}{b}"})
    _, faults = read_params(template, {"b": None, "c": "1"})
    assert [fault.pointer for fault in faults] == ["/params/a", "/params/b", "/params/c"]


def test_faults_of_a_template_name_their_place() -> None:
    table = {"params": ["code"], "text": "{cod}", "otp": "yes", "nobody": "x", "huawei": {"params": ["code"]}}
    details = [fault.detail for fault in template_faults("t", table, {"huawei"})]
    assert len(details) == 4
    assert all("SMS_TEMPLATES.t." in detail for detail in details)


@pytest.mark.parametrize(
    ("text", "region", "e164", "shown"),
    [
        ("+8613800000000", "", "+8613800000000", "+86138****0000"),
        ("138 0000 0000", "CN", "+8613800000000", "+86138****0000"),
        ("+1 (415) 867-5309", "", "+14158675309", "+1415****5309"),
    ],
)
def test_a_number_is_read_to_e164_and_shown_masked(text: str, region: str, e164: str, shown: str) -> None:
    number = parse_number(text, NumberRules(region))
    assert (number.e164, number.shown) == (e164, shown)
    assert e164 not in repr(number)
    assert e164[1:] not in mask_digits(f"to {e164}: {text}")


@pytest.mark.parametrize("text", ["", "abc", "13912345678", "+86138", "+8613800000000;ext=5", "+999123456789"])
def test_what_is_no_number_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_number(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "+861380013ABCD",
        "+917878787xyz",
        "+447911abc456",
        "+1800FLOWERS",
        "+86138001\uff21\uff22\uff23\uff24",
        "+8613800000000x5",
        "tel:+8613800000000",
        "+8613800000000;ext=5",
        "+8613800000000/+8613900000000",
        "+8613800000000 / 1",
        "+8613800000000\n1",
        "+8613800000000,+8613900000000",
        "+8613800000000#5",
        "+861380000000\u00b2",
        "++8613800000000",
        "\u0410+8613800000000",
        "+86 138 0000 0000 ext. 5",
        "+1 (415) 867-5309 x12",
        "+86 138 0000 0000 5",
        "+86138OOOO0000",
        "+86138l0000000",
        "+44 7911 12345\u0417",
        "\u2460\u2462800000000",
        "+8613800000000\u0660",
        "+08613800000000",
        "0086 138 0000 0000",
        "+447911123456\x00",
        "+86 138\t0000 0000",
        "+86_138_0000_0000",
    ],
)
def test_what_is_more_than_digits_is_refused(text: str) -> None:
    """A letter must not become a digit: the message would reach a stranger."""
    with pytest.raises(InvalidInput):
        parse_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "+86 138-0000-0000",
        "\uff0b\uff18\uff1613800000000",
        "+86\u00a013800000000",
        "+86.138.0000.0000",
        "\u200e+8613800000000\u202c",
        "+\u0668\u066613800000000",
        "\ufeff+8613800000000",
        "+86138\u200b00000000",
        "+86\u3000138\u30000000\u30000000",
        "+86\u2011138\u20130000-0000",
        "+86 (138) 0000.0000",
    ],
)
def test_a_number_is_read_however_people_write_it(text: str) -> None:
    """With blanks, full-width or other digits, and the invisible marks that copied text has."""
    assert parse_number(text).e164 == "+8613800000000"


@pytest.mark.parametrize("text", ["+19005550123", "+449061234567", "+18005550199", "+442079460000", "+861065529988"])
def test_a_number_of_another_type_is_refused_with_its_type(text: str) -> None:
    """Premium-rate, toll-free and landline numbers get no message unless SMS_NUMBER_TYPES names them."""
    with pytest.raises(InvalidInput, match="SMS_NUMBER_TYPES") as caught:
        parse_number(text, NumberRules(types=("mobile", "fixed_line_or_mobile")))
    allowed = caught.value.why.rpartition(", ")[2]
    assert parse_number(text, NumberRules(types=(allowed,))).e164 == text


def test_parts_in_china_count_the_sign() -> None:
    """68 characters and 【阿里云】 are 73, so two parts; the sign may be given with or without its brackets."""
    text = "验" * 68
    assert [billed_in_china(text, sign) for sign in ("", "阿里云", "【阿里云】")] == [1, 2, 2]
    assert billed_in_china("a" * 160, "") == 3


def test_a_country_that_is_not_named_is_refused() -> None:
    with pytest.raises(InvalidInput, match="SMS_COUNTRIES"):
        parse_number("+14158675309", NumberRules(countries={"CN"}))


def test_receivers_are_written_to_once_in_their_order_and_every_fault_is_reported() -> None:
    numbers, faults = read_receivers(["+8613900000000", "x", "+8613800000000", 5, "+86 139 0000 0000"])
    assert [one.e164 for one in numbers] == ["+8613900000000", "+8613800000000"]
    assert [fault.pointer for fault in faults] == ["/receivers/1", "/receivers/3"]


def test_more_than_1000_receivers_are_refused() -> None:
    _, faults = read_receivers(",".join(["+8613800000000"] * 1001))
    assert "1001" in faults[0].detail


@pytest.mark.parametrize(
    ("text", "region"),
    [("0086 138 0000 0000", "CN"), ("011 86 138 0000 0000", "US"), ("8613800000000", "CN"), ("013800000000", "CN")],
)
def test_a_number_is_dialled_as_its_region_does(text: str, region: str) -> None:
    """With the prefix for abroad, without the plus, or with the prefix of the trunk."""
    assert parse_number(text, NumberRules(region)).e164 == "+8613800000000"


@pytest.mark.parametrize(
    ("text", "region"), [("008613800000000", "US"), ("00 13800000000", "CN"), ("8613800000000", "")]
)
def test_a_prefix_of_another_region_is_not_guessed(text: str, region: str) -> None:
    with pytest.raises(InvalidInput):
        parse_number(text, NumberRules(region))
