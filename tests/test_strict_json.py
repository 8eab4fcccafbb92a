"""JSON is read as a careful receiver does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy import api
from carboy.problems import Problem

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
).filter(lambda value: json.dumps(value).isascii())


@pytest.mark.slow
@given(_VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    """Any value comes back, also when every character is escaped."""
    assert api.parse_json(json.dumps(value).encode()) == value
    assert api.parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1), st.data())
def test_a_key_that_stands_twice_is_found(members: dict[str, str], data: st.DataObject) -> None:
    """With any keys and values: colons, quotes, escapes."""
    twice = data.draw(st.sampled_from(sorted(members)))
    pairs = [*members.items(), (twice, data.draw(st.text(max_size=5)))]
    is_ascii = data.draw(st.booleans())
    body = ",".join(f"{json.dumps(k, ensure_ascii=is_ascii)}:{json.dumps(v, ensure_ascii=is_ascii)}" for k, v in pairs)

    with pytest.raises(Problem) as caught:
        api.parse_json(f'[{{"a":{{{body}}}}}]'.encode())

    assert caught.value.status == 400
    assert [fault.detail for fault in caught.value.faults] == [
        f"the key {json.dumps(twice, ensure_ascii=False)} stands twice in one object"
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"  ",
        b"{",
        b"nul",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b'{"a":1,}',
        b"\xff",
        b'"\xc3"',
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"\xef\xbb\xbf",
        b" \xef\xbb\xbf{}",
        b'"\\ud800"',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1,"\\u0061":2}',
        b'{"a:":1,"a\\u003a":2}',
        b'{"x":{"k":1,"k":{"\\u003a":":"}}}',
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    """Each is a 400, not an error of the server."""
    with pytest.raises(Problem) as caught:
        api.parse_json(text)
    assert caught.value.status == 400


def test_an_escaped_colon_is_no_duplicate() -> None:
    """The quick count of colons is not fooled into refusing what is well."""
    assert api.parse_json(b'{"a":"\\u003a\\u003A","b":":"}') == {"a": "::", "b": ":"}


def test_depth_is_counted_in_arrays_and_objects() -> None:
    """As many as allowed pass, one more does not; brackets in strings do not count."""

    def nested(levels: int) -> bytes:
        text = '"[[[[{{{{"'
        for level in range(levels):
            text = f"[{text}, []]" if level else f"[{text}]"
        return text.encode()

    assert api.parse_json(nested(8), max_depth=8)
    with pytest.raises(Problem, match="deeper than 8"):
        api.parse_json(nested(9), max_depth=8)


def test_a_wide_body_is_not_a_deep_one() -> None:
    """Many small objects stay within any depth."""
    value = [{"a": [1, "]"]} for _ in range(1000)]
    assert api.parse_json(json.dumps(value).encode(), max_depth=3) == value
    with pytest.raises(Problem):
        api.parse_json(json.dumps(value).encode(), max_depth=2)


@pytest.mark.slow
def test_a_bottomless_body_is_refused() -> None:
    """A megabyte of brackets exhausts no stack."""
    with pytest.raises(Problem):
        api.parse_json(b"[" * 500_000 + b"]" * 500_000)


@pytest.mark.parametrize("exact", [False, True])
def test_a_byte_order_mark_is_skipped(exact: bool) -> None:
    """As .NET and PowerShell write one; RFC 8259 lets a parser ignore it. What follows is read as strictly."""
    assert api.parse_json(b'\xef\xbb\xbf{"a": 1}', exact_numbers=exact) == {"a": 1}
    with pytest.raises(Problem):
        api.parse_json(b'\xef\xbb\xbf{"a": 1, "a": 2}', exact_numbers=exact)
