"""Where things are archived: the contract's keys, and back from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.errors import InvalidInput
from carboy.services.archive.object_keys import (
    MAX_CREATED_AT_MS,
    AlertKey,
    WebhookKey,
    alert_key,
    parse_key,
    version_key,
    webhook_key,
)
from carboy.services.archive.objects import check_key

ALERT = "587c0159a907346eccb84004"
AT_MS = 1484661060000
ALERT_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
SOURCES = st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True)
TIMES = st.integers(0, MAX_CREATED_AT_MS)
VERSIONS = st.just("") | st.from_regex(r"[0-9a-f]{8}", fullmatch=True)


def versioned(key: str, version: str) -> str:
    return version_key(key, version * 8) if version else key


def test_an_alert_has_the_keys_of_the_contract() -> None:
    """As the tutorial's service wrote them."""
    assert webhook_key(ALERT, AT_MS) == f"webhooks/2017/01/17/13/51/{ALERT}"
    assert alert_key(ALERT) == f"alerts/58/7c/{ALERT}"
    assert webhook_key("72d3162e", AT_MS, "github") == "webhooks/github/2017/01/17/13/51/72d3162e"


def test_another_content_has_a_key_beside_the_first() -> None:
    """By the first eight digits of its SHA-256."""
    assert version_key(alert_key(ALERT), "0123456789abcdef") == f"alerts/58/7c/{ALERT}~01234567"


def test_a_short_id_finds_its_folders() -> None:
    """It is filled up to four characters; the name is the id itself."""
    assert alert_key("a") == "alerts/a_/__/a"
    assert alert_key("abc") == "alerts/ab/c_/abc"
    assert alert_key("abcd") == "alerts/ab/cd/abcd"


def test_an_odd_id_stays_readable() -> None:
    """What is not of the alphabet is spelt out; a name never begins with a dot."""
    assert webhook_key("a/../b c.é=", AT_MS, "x") == "webhooks/x/2017/01/17/13/51/a=2F=2E=2E=2Fb=20c=2E=C3=A9=3D"


def test_a_very_long_id_is_shown_by_its_hash() -> None:
    """Names stay within what folders take; the key says that the id is not in it."""
    key = webhook_key("é" * 300, AT_MS, "x")
    parsed = parse_key(key)

    assert len(key) < 255
    assert isinstance(parsed, WebhookKey)
    assert parsed.is_hashed
    assert parse_key(versioned(key, "0" * 8)) == WebhookKey(parsed.id, AT_MS, "x", "0" * 8, True)


@pytest.mark.slow
@given(ALERT_IDS, TIMES, VERSIONS)
def test_an_alerts_keys_can_be_read_back(alert_id: str, at_ms: int, version: str) -> None:
    """Both, with and without a version; every key is one that a store takes."""
    key = versioned(webhook_key(alert_id, at_ms), version)
    check_key(key)
    assert parse_key(key) == WebhookKey(alert_id, at_ms // 60_000 * 60_000, None, version)

    key = versioned(alert_key(alert_id), version)
    check_key(key)
    assert parse_key(key) == AlertKey(alert_id, version)


@pytest.mark.slow
@given(st.text(min_size=1, max_size=300), TIMES, SOURCES, VERSIONS)
def test_any_senders_key_can_be_read_back(event_id: str, at_ms: int, source: str, version: str) -> None:
    """With ids of any characters, up to the maximum length of a name."""
    key = versioned(webhook_key(event_id, at_ms, source), version)
    parsed = parse_key(key)

    check_key(key)
    assert isinstance(parsed, WebhookKey)
    assert (parsed.source, parsed.minute_ms, parsed.version) == (source, at_ms // 60_000 * 60_000, version)
    assert parsed.is_hashed or parsed.id == event_id
    assert not parsed.is_hashed or len(event_id.encode()) > 66


@pytest.mark.slow
@given(st.lists(st.text(min_size=1, max_size=90), min_size=2, max_size=2, unique=True), TIMES)
def test_two_ids_never_share_a_key(event_ids: list[str], at_ms: int) -> None:
    """Nor does one look like another's version."""
    first, second = (webhook_key(event_id, at_ms, "x") for event_id in event_ids)

    assert first != second
    assert not second.startswith(f"{first}~")


@pytest.mark.slow
@given(st.text(max_size=80) | st.from_regex(r"(webhooks|alerts)/[0-9a-z~=/_-]{0,60}", fullmatch=True))
def test_what_reads_as_a_key_is_one(text: str) -> None:
    """Nothing is read that would not be written the same."""
    match parse_key(text):
        case AlertKey(alert_id, version):
            assert versioned(alert_key(alert_id), version) == text
        case WebhookKey(event_id, minute_ms, source, version, False):
            assert versioned(webhook_key(event_id, minute_ms, source), version) == text


@pytest.mark.parametrize(
    "key",
    [
        *("", "alerts", f"alerts/58/7d/{ALERT}", f"alerts/58/7c/{ALERT}~0123456", f"alerts/58/7c/{ALERT}~0123456G"),
        *("alerts/a=/=4/a=41", f"webhooks/2017/02/29/13/51/{ALERT}", f"webhooks/2017/01/17/24/00/{ALERT}"),
        *(f"webhooks/1969/12/31/23/59/{ALERT}", f"webhooks/2017/01/17/13/{ALERT}", "webhooks/2017/01/17/13/51/a=2F"),
        *("webhooks/2017/01/17/13/51/==" + "0" * 64, "webhooks/x/2017/01/17/13/51/a=41", f"x/webhooks/{ALERT}"),
        *("webhooks/x/2017/01/17/13/51/a=FF", "webhooks/X/2017/01/17/13/51/a", "webhooks/x/2017/01/17/13/51/a\n"),
    ],
)
def test_a_foreign_key_reads_as_none(key: str) -> None:
    """An import leaves it alone."""
    assert parse_key(key) is None


@pytest.mark.parametrize("alert_id", ["", "a" * 129, "../x", "a/b", "a.b", "a~b", "é", "a\n", " "])
def test_an_id_that_would_lead_elsewhere_has_no_key(alert_id: str) -> None:
    """`../` and friends."""
    with pytest.raises(InvalidInput):
        webhook_key(alert_id, AT_MS)
    with pytest.raises(InvalidInput):
        alert_key(alert_id)


@pytest.mark.parametrize(
    ("event_id", "at_ms", "source"),
    [
        ("a", -1, None),
        ("a", MAX_CREATED_AT_MS + 1, None),
        ("", 0, "x"),
        ("a", 0, "2017"),
        ("a", 0, ""),
        ("a", 0, "a/b"),
    ],
)
def test_what_is_out_of_range_has_no_key(event_id: str, at_ms: int, source: str | None) -> None:
    """A source is never taken for a year."""
    with pytest.raises(InvalidInput):
        webhook_key(event_id, at_ms, source)
