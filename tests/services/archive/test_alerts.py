"""A Threat Stack webhook: its alerts verbatim, or every fault of it."""

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.errors import InvalidInput
from carboy.problems import Problem
from carboy.services.archive.alerts import parse_alerts, parse_json, read_alert

SAMPLE = (
    b'{"alerts": [{"id": "587c0159a907346eccb84004", "title": "Users: Login from abroad (web-1 as deploy)", '
    b'"created_at": "1484661060000", "severity": "1", "organization_id": "545d0293b620cd090d000023", '
    b'"server_or_region": "web-1", "source": "Host"}]}'
)


def body(*alerts: object) -> bytes:
    return json.dumps({"alerts": alerts}).encode()


def faults(of: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        parse_alerts(of)
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


def test_an_alert_is_kept_as_it_came() -> None:
    """Byte for byte, with what the index needs beside it; `created_at` is digits in a string, as in practice."""
    [alert] = parse_alerts(SAMPLE)

    assert alert.raw == SAMPLE[len(b'{"alerts": [') : -len(b"]}")]
    assert alert.sha256 == hashlib.sha256(alert.raw).hexdigest()
    assert (alert.id, alert.created_at_ms) == ("587c0159a907346eccb84004", 1484661060000)
    assert (alert.severity, alert.source) == ("1", "Host")
    assert alert.organization_id == "545d0293b620cd090d000023"
    assert alert.title is not None
    assert alert.title.startswith("Users: Login")


def test_unknown_fields_white_space_and_spelling_are_kept() -> None:
    """The archive is of what came, not of what we make of it."""
    raw = rb'{ "id":"a" ,"created_at" : 0,"x": {"y":[1.10, 1E400, 12345678901234567890123, "\u00e9\/"]} }'

    [alert] = parse_alerts(b'{"alerts":[\n ' + raw + b'\t],"more":null}')

    assert alert.raw == raw


@pytest.mark.parametrize(
    "created_at", [0, 1484661060000, 253402300799999, "0", "253402300799999", "000001484661060000"]
)
def test_a_time_is_an_integer_or_its_digits(created_at: int | str) -> None:
    """From 0 to the end of the year 9999."""
    [alert] = parse_alerts(body({"id": "a", "created_at": created_at}))

    assert alert.created_at_ms == int(created_at)


@pytest.mark.parametrize(
    "created_at",
    [
        *(-1, 253402300800000, 10**30, 1.5, 1484661060000.0, True, False, None, [], {}),
        *("", "-1", "+1", " 1", "1 ", "1.0", "1e3", "1_0", "253402300800000", "9" * 19, "１２", "2017-01-17T13:51:00Z"),
    ],
)
def test_any_other_time_is_a_fault(created_at: object) -> None:
    """True is not 1."""
    [(pointer, _)] = faults(body({"id": "a", "created_at": created_at}))

    assert pointer == "/alerts/0/created_at"


@pytest.mark.parametrize("alert_id", ["", "a" * 129, "../x", "a/b", "a.b", "a b", "é", "a\n", 1, None, True, ["a"], {}])
def test_an_id_that_is_no_key_is_a_fault(alert_id: object) -> None:
    """It becomes part of a key."""
    [(pointer, _)] = faults(body({"id": alert_id, "created_at": 1}))

    assert pointer == "/alerts/0/id"


def test_every_fault_is_reported_with_its_place() -> None:
    """Not one per try."""
    found = faults(body({}, {"id": "a", "created_at": 1}, 7, {"id": "/", "created_at": "x"}, {"created_at": 1}))

    assert [pointer for pointer, _ in found] == [
        *("/alerts/0/id", "/alerts/0/created_at", "/alerts/2"),
        *("/alerts/3/id", "/alerts/3/created_at", "/alerts/4/id"),
    ]
    assert dict(found)["/alerts/0/id"] == "is required"
    assert dict(found)["/alerts/3/id"] != "is required"


@pytest.mark.parametrize(
    ("of", "pointer"),
    [
        *((b"[]", ""), (b'"alerts"', ""), (b"7", ""), (b"null", ""), (b"1.5", "")),
        *((b"{}", "/alerts"), (b'{"Alerts": [1]}', "/alerts"), (b'{"alerts": []}', "/alerts")),
        *((b'{"alerts": {}}', "/alerts"), (b'{"alerts": null}', "/alerts"), (b'{"alerts": "x"}', "/alerts")),
    ],
)
def test_json_of_another_shape_is_a_fault(of: bytes, pointer: str) -> None:
    """No `alerts`, empty, or not a list."""
    assert [place for place, _ in faults(of)] == [pointer]


@pytest.mark.parametrize(
    "of",
    [
        *(b"", b" ", b"{", b"alerts", b"{'alerts': []}", b'{"alerts": [],}', SAMPLE[:-1], SAMPLE + b"x", SAMPLE * 2),
        *(b'{"alerts": [NaN]}', b'{"alerts": [Infinity]}', b'{"alerts": [01]}', b'{"alerts": ["\x01"]}'),
        *(
            b'"\xff"',
            SAMPLE.replace(b"Host", b"\xed\xa0\x80"),
            b"\xef\xbb\xbf" * 2 + SAMPLE,
            SAMPLE.decode().encode("utf-16"),
        ),
        *(
            rb'{"alerts": ["\ud800"]}',
            b'{"a": 1, "a": 1}',
            b'{"a": [{"b": {"c": 1, "c": 2}}]}',
            rb'{"a": 1, "\u0061": 1}',
        ),
        *(b"[" * 65 + b"]" * 65, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 100_000),
        SAMPLE.replace(b'"source"', b'"id"'),
    ],
)
def test_what_is_not_json_is_distinguished_from_json_of_another_shape(of: bytes) -> None:
    """400: not UTF-8, two byte order marks, NaN, a key twice, nested deeper than 64."""
    with pytest.raises(Problem) as caught:
        parse_alerts(of)

    assert caught.value.status == 400
    assert len(caught.value.detail) < 200


def test_64_levels_are_allowed() -> None:
    """The 65th is one too many."""
    nested: Any = 1
    for _ in range(61):
        nested = [nested]

    assert parse_alerts(body({"id": "a", "created_at": 1, "x": nested}))
    with pytest.raises(Problem):
        parse_alerts(body({"id": "a", "created_at": 1, "x": [nested]}))


def test_an_alert_may_be_known_from_elsewhere() -> None:
    """A list of the API has its own names for id and time; the bytes stay what they are."""
    raw = b'{"id": "a", "createdAt": "2017-01-17T13:51:00.000Z", "severity": 3}'

    alert = read_alert(raw, "a", 1484661060000)

    assert (alert.id, alert.created_at_ms, alert.raw, alert.severity) == ("a", 1484661060000, raw, "3")
    for broken, alert_id, created_at_ms in ((b"[]", "a", 1), (raw, "../a", 1), (raw, "a", -1)):
        with pytest.raises(InvalidInput):
            read_alert(broken, alert_id, created_at_ms)
    with pytest.raises(Problem):
        read_alert(b"{", "a", 1)


def test_an_answer_is_not_many_times_what_was_sent() -> None:
    """A million empty alerts have a thousand faults."""
    assert len(faults(b'{"alerts":[' + b"{}," * 300_000 + b"{}]}")) == 1000


def test_what_the_index_gets_fits_into_it() -> None:
    """No NUL, no more than 255 characters, numbers as digits, anything else not at all."""
    [alert] = parse_alerts(
        body({"id": "a", "created_at": 1, "severity": 2, "source": "x\0y", "title": "t" * 999, "organization_id": [1]})
    )
    [other] = parse_alerts(body({"id": "a", "created_at": 1, "severity": True, "source": 1.5, "title": None}))

    assert (alert.severity, alert.source, alert.organization_id) == ("2", "x\ufffdy", None)
    assert alert.title == "t" * 255
    assert (other.severity, other.source, other.title, other.organization_id) == (None, None, None, None)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: object, dice: random.Random) -> object:
    if isinstance(value, dict):
        items = [(key, shuffled(one, dice)) for key, one in value.items()]
        dice.shuffle(items)
        return dict(items)
    return [shuffled(one, dice) for one in value] if isinstance(value, list) else value


@pytest.mark.slow
@given(st.dictionaries(TEXT, JSON, max_size=6), st.randoms())
def test_a_digest_is_of_the_content(extra: dict[str, Any], dice: random.Random) -> None:
    """White space, the order of keys and the spelling of characters do not count; anything else does."""
    alert = {**extra, "id": "a", "created_at": 1}
    spelt = json.dumps({"alerts": [shuffled(alert, dice)]}, indent=dice.choice([None, 1]), ensure_ascii=True).encode()

    [first] = parse_alerts(json.dumps({"alerts": [alert]}, ensure_ascii=False).encode())
    [second] = parse_alerts(spelt)
    [other] = parse_alerts(body({**alert, "created_at": 2}))

    assert first.digest == second.digest
    assert first.digest != other.digest


@pytest.mark.parametrize(
    ("left", "right"),
    [("1", '"1"'), ("1.5", '"1.5"'), ("0.1", "0.10000000000000000001"), ("1", "true"), ("null", '""'), ("[]", "{}")],
)
def test_what_differs_has_another_digest(left: str, right: str) -> None:
    """To the last digit, and by type."""
    first, second = (
        parse_alerts(f'{{"alerts":[{{"id":"a","created_at":1,"x":{text}}}]}}'.encode())[0].digest
        for text in (left, right)
    )
    assert first != second


@pytest.mark.slow
@given(JSON)
def test_any_json_is_read(value: object) -> None:
    """Keys that hold quotes, colons and backslashes are not taken for two."""
    parse_json(json.dumps(value).encode())
    parse_json(json.dumps({"x": value, '":': 1, '\\"": ': value, ":": '":'}, ensure_ascii=False).encode())


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ 019eE.-tfnalsi', max_size=40).map(str.encode))
def test_nonsense_is_refused_and_nothing_worse(of: bytes) -> None:
    """Any body gives alerts, a 400 or errors; and Python's reader accepts the same JSON."""
    try:
        parse_json(of)
    except Problem:
        pass
    else:
        json.loads(of)
    with pytest.raises((Problem, InvalidInput)):
        parse_alerts(of)


def test_an_alert_after_a_byte_order_mark_is_kept_as_it_came() -> None:
    """The mark is not part of the alert."""
    [alert] = parse_alerts(b"\xef\xbb\xbf" + SAMPLE)

    assert alert.raw == parse_alerts(SAMPLE)[0].raw
