"""Expressions: what can only be a mistake is a fault at start, with the form that is meant."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services.archive.kit import Serve
from tests.services.archive.test_destinations import operator, table
from tests.services.archive.test_retention import FOREVER, ids, send

from carboy.config import Profile
from carboy.errors import ConfigurationError
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
from carboy.services.archive.destinations.events import Event
from carboy.services.archive.destinations.expressions import compile_expression

MISTAKEN = [
    ('type == "push"', "type == 'push'"),
    ('type=="push"', "type=='push'"),
    ('"push" == _type', "'push' == _type"),
    ('a.b != "in progress"', "a.b != 'in progress'"),
    ('length(tags) == "3"', "length(tags) == '3'"),
    ('severity <= `2` && host == "web-1"', "severity <= `2` && host == 'web-1'"),
    ('!(a == "schön")', "!(a == 'schön')"),
    ('tags[?name == "x"]', "tags[?name == 'x']"),
    ('[a == "x", b]', "[a == 'x', b]"),
    ('{a: b == "x"}', "{a: b == 'x'}"),
    ('contains(labels, "bug")', "contains(labels, 'bug')"),
    ('contains(labels[*].name, "bug") && a', "contains(labels[*].name, 'bug') && a"),
    ('starts_with(ref, "refs/heads/")', "starts_with(ref, 'refs/heads/')"),
    ('ends_with(to_string(a), "z")', "ends_with(to_string(a), 'z')"),
    ('join(", ", tags)', "join(', ', tags)"),
    ('a >= "2026-01-01"', "a >= '2026-01-01'"),
]
MEANT = [
    "\"detail-type\" == 'EC2'",
    "'EC2' == \"detail-type\"",
    '"detail-type" == kind',
    'a == @."detail-type"',
    'a == "b-c".d',
    'a == "b-c"[0]',
    "contains(\"my-list\", 'x')",
    'length("my-list") > `1`',
    '{"a-b": c, "d": "e-f"}',
    'sort_by("my-items", &"a-b")',
    'contains(labels, @."my-label")',
    "join(', ', \"my-list\")",
    '"a-b" || "c-d"',
    "a == '\"push\"'",
    'a == `"push"`',
    'a[?b]."c-d" | [0]',
    'not_null("a-b", "c-d")',
]


@pytest.mark.parametrize(("text", "meant"), MISTAKEN)
def test_text_in_double_quotes_is_a_fault_with_the_right_form(text: str, meant: str) -> None:
    """It is the name of a field to JMESPath: the comparison never holds, or holds where neither field is there."""
    with pytest.raises(ValueError, match="where text is meant") as caught:
        compile_expression(text)
    assert meant in str(caught.value)
    compile_expression(meant)
    with pytest.raises(ConfigurationError, match="single quotes"):
        make_destinations({"d": DestinationConfig("https://ok.example/", filter=text)}, [], Profile("prod"))


@pytest.mark.parametrize("text", MEANT)
def test_fields_whose_names_need_double_quotes_stay_fields(text: str) -> None:
    """The check refuses nothing that can be meant."""
    document = {"a-b": 1, "my-list": ["x", "y"], "my-items": [{"a-b": 1}], "labels": ["x"], "my-label": "x"}
    assert compile_expression(text)(document) == jmespath.search(text, document)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("push"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["severity", "a", "tags", "ä"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_FILTERS = [
    "severity <= `2`", "contains(tags, 'push')", "starts_with(a, 'p')", "tags[?a == 'push'] | [0]", "\"ä\".a[0]",
    "length(tags) > `1` && a", "sum(tags) < `3`", "max_by(tags, &a).a", "to_number(severity) <= `2`", "keys(a)", "!a",
    "join(',', tags) == 'a,b'", "a.b.c.d || _body", "_type == '' && _source == 'it'", "map(&a, tags)[0]",
]  # fmt: skip


@pytest.mark.slow
@given(_JSON, st.sampled_from(_FILTERS))
def test_a_filter_says_yes_or_no_of_every_event(content: Any, filter_: str) -> None:
    """Whatever has the wrong type or is not there; what is neither JSON nor text, too."""
    config = DestinationConfig("https://ok.example/", filter=filter_)
    destination = make_destinations({"d": config}, [], Profile("prod"))["d"]
    for body in (json.dumps(content).encode(), json.dumps(content, ensure_ascii=False).encode()[:-1], b"\xff\xfe", b""):
        event = Event("it", "1", "", 0, 0, "application/json", body)
        assert destination.wants(event) in {True, False}


def test_double_quotes_never_erase_or_replay_what_has_neither_field(serve: Serve) -> None:
    """`email == "ann@example.com"` holds of every event that has neither field: both are null."""
    gateway = operator(serve(toml=FOREVER + table("https://10.255.255.1/", "enabled = false")))
    send(gateway, "other", "a", name="bob")
    body: dict[str, Any] = {"from": "2017-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}
    body |= {"filter": 'email == "ann@example.com"'}

    answers = [gateway.post(f"/api/v1/{path}/replay", json=body) for path in ("webhooks/other", "destinations/siem")]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert "email == 'ann@example.com'" in answers[0].get_data(as_text=True)
    assert ids(gateway, "other") == ["a"]
