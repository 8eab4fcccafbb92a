"""Regular expressions of ECMA-262 match as they do there, or are refused in words."""

from typing import Any

import pytest
from tests.api.kit import MakeDocument, Serve

from carboy import api
from carboy.errors import ConfigurationError


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^(a)\1$", "aa", "ab"),
        (r"(?<=a)b", "ab", "cb"),
        (r"^(?!.*--)[a-z-]+$", "a-b", "a--b"),
        (r"^\p{L}+$", "né", "n1"),
        (r"^\u0041\x42$", "AB", "ab"),
        (r"^\u{41}$", "A", "B"),
        (r"^[\w-.]+$", "a-b.c", "a b"),
        (r"^[a-z\d-_]+$", "a-1_", "A"),
        (r"^[.-\w]+$", "a-.", "?"),
        (r"^[^]$", "\n", ""),
        (r"^a|[]$", "a", "b"),
        (r"^\0$", "\0", "0"),
        (r"^[\b]$", "\b", "b"),
        (r"^\bword\b$", "word", "words"),
        (r"^\ud83d\ude00$", "\U0001f600", "x"),
        (r"^[\u4e00-\u9fa5]$", "\u4e2d", "a"),
        (r"^\d$", "3", "\u0663"),
        (r"^a\/b$", "a/b", "ab"),
        (r"a$", "a", "a\n"),
        (r"^(?i)abc\Z", "ABC", "abd"),
        (r"^(?:{[0-9]{2}})$", "{12}", "12"),
        ("x{,3}", "x{,3}", "xxx"),
        ("}{", "}{", "{}"),
        (r"^[{}]{2}$", "{}", "}"),
        (r"^(?<year>\d{2})-\k<year>$", "24-24", "24-25"),
        (r"^(x)(?<y>a)\k<y>\1$", "xaax", "xaaa"),
        ("^.{0,262144}$", "", "a\nb"),
        ("^[a-z]{2,20000}$", "ab", "a"),
        (r"^[\s\S]{2,}$", "\n\n", "\n"),
        ("^.{2000}$", "a" * 2000, "a" * 1999),
    ],
)
def test_a_pattern_means_what_it_means_in_ecma_262(
    make_document: MakeDocument, serve: Serve, pattern: str, good: str, bad: str
) -> None:
    """Some that are often written beside it are taken as they are meant."""
    body = {"content": {"application/json": {"schema": {"type": "string", "pattern": pattern}}}}
    client = serve(make_document(method="post", requestBody=body))
    assert client.post("/things", json=good).status_code == 200
    assert client.post("/things", json=bad).status_code == 422


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "(?<n", r"\p{Nope}", "(.{0,262144})", "[z-a]", "*"])
@pytest.mark.parametrize("where", ["pattern", "patternProperties"])
def test_a_pattern_that_cannot_be_used_is_refused(make_document: MakeDocument, pattern: str, where: str) -> None:
    """At its own place, with its file and line as any fault."""
    schema: Any = {where: {pattern: {}} if where == "patternProperties" else pattern}
    with pytest.raises(ConfigurationError) as caught:
        api.load_document(make_document(components={"schemas": {"A": schema}}))
    (fault,) = caught.value.faults
    assert fault.pointer.startswith(f"/components/schemas/A/{where}")
    assert "regex" in fault.detail


def test_a_long_repetition_is_a_limit_beside_those_of_the_schema(make_document: MakeDocument, serve: Serve) -> None:
    """Neither replaces the other."""
    schema = {"type": "string", "minLength": 2, "pattern": "^.{1,9000}$", "allOf": [{"maxLength": 3}]}
    client = serve(make_document(method="post", requestBody={"content": {"application/json": {"schema": schema}}}))
    statuses = {text: client.post("/things", json=text).status_code for text in ("a", "ab", "abc", "abcd")}
    assert statuses == {"a": 422, "ab": 200, "abc": 200, "abcd": 422}
