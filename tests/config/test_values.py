"""What a layer holds becomes the declared type, or a fault that does not repeat it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.config import Duration, Rate, parse_duration, parse_rate
from carboy.config.files import parse_dotenv
from carboy.config.values import convert, render
from carboy.errors import ConfigurationError
from carboy.redact import Secret


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        ("8", int, 8),
        (" 8 ", int, 8),
        ("1.5", float, 1.5),
        ("on", bool, True),
        ("OFF", bool, False),
        ("yes", bool, True),
        (False, bool, False),
        ("a, b,,c", tuple[str, ...], ("a", "b", "c")),
        ('["a", "b"]', tuple[str, ...], ("a", "b")),
        ('{"a": 1}', dict[str, int], {"a": 1}),
        ("", int | None, None),
        (None, int | None, None),
        ("3", Literal[1, 2, 3], 3),
        ("2/s", Rate | None, Rate(2, 1.0)),
        ("off", Rate | None, None),
        ("10/day", Rate | None, Rate(10, 86400.0)),
        ("90", Duration, 90.0),
        (90, Duration, 90.0),
        ("x/y", Path, Path("x/y")),
        ("text", str, "text"),
    ],
)
def test_a_value_is_read_as_its_kind(value: Any, kind: Any, wanted: Any) -> None:
    """Text is read leniently, typed values as they are."""
    assert convert(value, kind) == wanted


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("eight-hush", int),
        ("hush", bool),
        ("hush", dict[str, int]),
        ("[hush", list[str]),
        ("hush", Literal["a", "b"]),
        ("hush", Rate | None),
        ("hush", Duration),
        (5, Secret),
        (["hush"], str),
        ({"hush": 1}, Mapping[str, str]),
    ],
)
def test_what_cannot_be_read_is_refused_without_repeating_it(value: Any, kind: Any) -> None:
    """A value may be a secret in the wrong place."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        convert(value, kind)
    assert "hush" not in str(caught.value)


@given(st.integers(1, 10**6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_a_duration_is_its_number_times_its_unit(count: int, unit: tuple[str, float]) -> None:
    """However large."""
    assert parse_duration(f"{count}{unit[0]}") == pytest.approx(count * unit[1])


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_a_rate_is_rendered_and_read_back(count: int, seconds: int) -> None:
    """What `settings show` prints can be written into a file."""
    rate = Rate(count, float(seconds))
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "0/s", "5", "5/0s", "-1/s", "5/fortnight", "/s"])
def test_a_rate_that_allows_nothing_or_means_nothing_is_refused(text: str) -> None:
    """`off` is how a limit is lifted."""
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@given(st.text())
def test_a_secret_is_any_text(text: str) -> None:
    """Nothing in it is special, and it is shown masked."""
    secret = convert(text, Secret)
    assert secret.reveal() == text
    assert render(secret) == "***"


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))


@pytest.mark.slow
@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True), _TEXT, max_size=5))
def test_a_dotenv_in_double_quotes_says_any_text(values: dict[str, str]) -> None:
    """Escaped and quoted text is read back as it was."""
    lines = [
        f'export {name}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"  # comment'
        for name, value in values.items()
    ]
    assert parse_dotenv("\n".join(["# head", "", *lines])) == values


def test_a_dotenv_line_is_read_as_people_write_it() -> None:
    """Comments, blanks, single quotes, `#` within a value, empty values."""
    text = "A=1 # one\nB = x#y\nC='a # b'\n\n# D=1\nE=\nF=a=b\r\nexport G=\"l1\nl2\"\nH=last"

    assert parse_dotenv(text) == {
        "A": "1", "B": "x#y", "C": "a # b", "E": "", "F": "a=b", "G": "l1\nl2", "H": "last",
    }  # fmt: skip


def test_every_bad_line_of_a_dotenv_is_named_and_none_is_shown() -> None:
    """The file holds secrets."""
    with pytest.raises(ConfigurationError, match="line 2, 4") as caught:
        parse_dotenv("A=1\nhush hush\nB=2\n=hush\n")
    assert "hush" not in str(caught.value)


@pytest.mark.slow
@given(st.text("0123456789.+-e_ １a", max_size=20), st.sampled_from([int, float, Literal["a", "e", "1"]]))
def test_what_is_read_the_short_way_is_read_as_by_msgspec(text: str, kind: Any) -> None:
    """The short way saves its import; it must not know better."""
    try:
        wanted = msgspec.convert(text.strip(), kind, strict=False)
    except msgspec.ValidationError:
        with pytest.raises(ValueError, match=r"."):
            convert(text, kind)
    else:
        found = convert(text, kind)
        assert (type(found), repr(found)) == (type(wanted), repr(wanted))


DOTENV = [
    ("A=1", {"A": "1"}),
    ("\ufeffA=1\r\nexport B = 2 # c\r\n", {"A": "1", "B": "2"}),
    ("A=#s3cret", {"A": "#s3cret"}),
    ("A= #nothing", {"A": ""}),
    ("A=a#b #c", {"A": "a#b"}),
    (r"A='it\'s \\ \n'", {"A": "it's \\ \\n"}),
    ('A="x"#c', {"A": "x"}),
    ("A=\"a\nb\"\nB='c\nd'", {"A": "a\nb", "B": "c\nd"}),
    ("A==b", {"A": "=b"}),
    ("A=$B", {"A": "$B"}),
    ("A='${B}'", {"A": "${B}"}),
    (r'A="\${B}"', {"A": "${B}"}),
    ("A\nexport B\nC=1", {"C": "1"}),
    ("'A B'=1", {"A B": "1"}),
    ("A=1\rB=2", {"A": "1", "B": "2"}),
    ("A-B=1\n1A=2\nä.b/c=3", {"A-B": "1", "1A": "2", "ä.b/c": "3"}),
]


@pytest.mark.parametrize(("text", "values"), DOTENV)
def test_a_dotenv_is_read_as_python_dotenv_reads_it(text: str, values: dict[str, str]) -> None:
    """What `flask run` loads and what we load are the same."""
    assert parse_dotenv(text) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('A=1\nB="s3cret', "line 2: the quote is not closed"),
        ("A='s3cret\nC=1", "line 1: the quote is not closed"),
        ('A="s3cret" trailing', "line 1: text after the closing quote"),
        ("\n\nA=${s3cret}", "line 3: `${…}` is not expanded"),
        ('A="x${s3cret}"', "line 1: `${…}` is not expanded"),
        ("A B=s3cret\n=s3cret", "line 1, 2: not NAME=value"),
        ("A: s3cret", "line 1: not NAME=value"),
        ("B=1\nA=s3cret\0", "line 2: a NUL"),
        ('A="s3cret\n\0"', "line 1: a NUL"),
    ],
)
def test_a_dotenv_that_would_be_read_otherwise_is_refused(text: str, said: str) -> None:
    """With the line, and never with what stands there."""
    with pytest.raises(ConfigurationError) as raised:
        parse_dotenv(text)
    assert said in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", float("nan"), float("inf")])
def test_a_number_is_finite(value: object) -> None:
    """`x < 0` is false for what is not a number."""
    with pytest.raises(ValueError, match=r"finite|out of range"):
        convert(value, float)
    with pytest.raises(ValueError, match="length of time"):
        convert(value, Duration)


@pytest.mark.parametrize("seconds", [2592000, 1234567.5, 0.000001, 10**12])
def test_a_duration_may_be_any_number(seconds: float) -> None:
    """In TOML, also one of seven digits."""
    assert float(convert(seconds, Duration)) == pytest.approx(seconds)
