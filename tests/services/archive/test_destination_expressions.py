"""Expressions: what can only be a mistake is a fault at start, with the form that is meant."""

from typing import Any

import jmespath
import pytest
from tests.services.archive.kit import Serve
from tests.services.archive.test_destinations import operator, table
from tests.services.archive.test_retention import FOREVER, ids, send

from carboy.config import Profile
from carboy.errors import ConfigurationError
from carboy.services.archive.destinations.config import DestinationConfig, make_destinations
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
