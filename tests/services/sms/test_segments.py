import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.services.sms.segments import MessageTooLong, count_parts, segments


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("码" * 70, 1),
        ("码" * 71, 2),
        ("码" * 134, 2),
        ("码" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_a_text_has_the_parts_that_carriers_bill(text: str, parts: int) -> None:
    """160 or 153 septets, 70 or 67 code units: at each edge."""
    assert segments(text) == parts


def test_what_takes_two_units_is_not_split_between_parts() -> None:
    """152 letters and a euro: the euro would stand half in each, so it moves."""
    assert segments("a" * 152 + "€" + "a" * 152) == 3
    assert segments("码" * 66 + "😀" + "码" * 66) == 3


def test_one_foreign_character_moves_the_whole_text_to_ucs2() -> None:
    assert segments("a" * 159 + "码") == 3
    assert count_parts("code ✓").alphabet == "ucs2"


def test_china_counts_in_ucs2_with_any_letters() -> None:
    assert segments("a" * 71, ucs2=True) == 2


def test_a_text_of_more_than_255_parts_is_refused() -> None:
    with pytest.raises(MessageTooLong):
        segments("a" * (255 * 153 + 1))


@pytest.mark.slow
@given(st.text(max_size=400), st.text(max_size=5))
def test_a_longer_text_never_has_fewer_parts(text: str, more: str) -> None:
    assert segments(text) <= segments(text + more)
