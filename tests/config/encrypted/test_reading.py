"""What a configuration file may contain, and how its errors are reported."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.config.encrypted.scalars import render_scalar, scalar_of
from carboy.config.encrypted.structure import parse_config, unresolved
from carboy.config.encrypted.yaml_document import parse_document, replace_scalars
from carboy.errors import ConfigurationError, Fault

STAGES = "stages:\n  prod: {environment: prod, key: prod-key}\n  /.*/: {environment: dev, key: dev-key}\n"


def faults_of(text: str) -> list[Fault]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, "config.yml")
    assert caught.value.exit_code == 3
    return list(caught.value.faults)


def test_every_fault_is_reported_at_once_with_file_line_and_key_path() -> None:
    """All errors are fixed in one go, not one at a time."""
    faults = faults_of(
        "stages:\n"
        "  prod: {environment: prod}\n"
        "  dev: {key: k}\n"
        "config:\n"
        "  a: {+prod: 1, b: 2}\n"
        "  b:\n"
        "    c: ':encrypt:x'\n"
        "  d: {'+/[/': 1}\n"
    )

    assert [(fault.pointer, fault.detail) for fault in faults] == [
        ("config.yml:2: stages.prod", "the stage `prod` has no `key`"),
        ("config.yml:3: stages.dev", "the stage `dev` has no `environment`"),
        ("config.yml:5: a", "mixes keys of stages (`+…`) with others: `+prod`, `b`"),
        ("config.yml:7: b.c", "a secret must be under a stage (`+prod: …`)"),
        ("config.yml:8: d.+/[/", "is not a regular expression: unterminated character set at position 0"),
    ]


def test_a_key_cannot_be_a_secret() -> None:
    """It would be stored as it stands; the message does not show it."""
    (fault,) = faults_of(STAGES + "config:\n  a: {':encrypt:hunter2': 1}\n")

    assert fault.detail == "a key begins with `:encrypt:`: keys are never encrypted"
    assert "hunter2" not in fault.pointer


def test_keys_may_be_numbers_booleans_and_any_unicode() -> None:
    """Fleece failed with AttributeError on `8080: x`."""
    text = STAGES + "config:\n  8080: x\n  true: y\n  2.5: z\n  ключ 🔑: {+prod: 1, +/.*/: 2}\n"

    assert parse_config(text, "c").tree == {8080: "x", True: "y", 2.5: "z", "ключ 🔑": {"+prod": 1, "+/.*/": 2}}


def test_binary_is_refused_by_name() -> None:
    """Fleece failed with TypeError on `!!binary`."""
    (fault,) = faults_of(STAGES + "config:\n  a: !!binary aGk=\n")

    assert fault.pointer == "config.yml:5"
    assert "`!!binary`" in fault.detail


@pytest.mark.parametrize("value", ['""', "0", "false", "{}", "[]", "null"])
def test_a_false_value_of_a_stage_is_a_value(value: str) -> None:
    """Fleece said that the key has no value."""
    assert unresolved(parse_config(STAGES + f"config:\n  k: {{+prod: {value}, +/.*/: 1}}\n", "c")) == []


def test_an_expression_ends_at_its_last_slash() -> None:
    """Fleece cut `/a/b/` at the second slash."""
    config = parse_config("stages:\n  /team/.*/: {environment: e, key: k}\nconfig: {}\n", "c")

    assert config.stage("team/one").environment == "e"
    with pytest.raises(ConfigurationError, match="no stage `team`"):
        config.stage("team")


def test_two_expressions_for_one_stage_are_an_error_that_names_both() -> None:
    """The file's order never decides."""
    config = parse_config(
        "stages:\n  /a.*/: {environment: e, key: k}\n  /.*b/: {environment: f, key: l}\nconfig: {}\n", "c"
    )

    assert config.stage("ax").environment == "e"
    with pytest.raises(ConfigurationError, match=r"`/a\.\*/` and `/\.\*b/` both match"):
        config.stage("ab")


def test_an_exact_name_wins_over_an_expression() -> None:
    """Also where the expression matches and stands first."""
    config = parse_config(
        "stages:\n  /.*/: {environment: e, key: k}\n  prod: {environment: f, key: l}\nconfig: {}\n", "c"
    )

    assert config.stage("prod").environment == "f"


def test_a_value_that_no_selector_gives_is_found_for_every_stage_named() -> None:
    """The error names the place, and the selectors that have a value."""
    config = parse_config(STAGES + "config:\n  a:\n    b: {+dev: 1}\n", "config.yml")

    (fault,) = unresolved(config)
    assert (fault.pointer, fault.detail) == ("config.yml:6: a.b", "has no value for the stage `prod` (only for `+dev`)")


def test_a_key_given_twice_is_refused() -> None:
    """YAML would keep one of them silently."""
    (fault,) = faults_of(STAGES + "config:\n  a: 1\n  a: 2\n")

    assert fault.pointer == "config.yml:6"
    assert "twice" in fault.detail


def test_json_is_distinguished_from_yaml_by_parsing() -> None:
    """YAML in flow style starts with a brace as well."""
    assert not parse_document("{a: 1, b: [x]}", "c").is_json
    assert parse_document('\n {"a": "\\ud83d\\ude00\\/"}', "c").tree == {"a": "😀/"}


def test_a_secret_in_flow_style_is_read() -> None:
    """`{+prod: :encrypt:x}` is YAML 1.2, though the C parser refuses it."""
    config = parse_config(STAGES + "config:\n  a: {+prod: :encrypt:x y, +/.*/: 1}\n", "c")

    assert config.secrets[("a", "+prod")][0] == ":encrypt:x y"


@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff"])
def test_nothing_is_an_error_in_words(text: str) -> None:
    """Fleece failed with IndexError on an empty stdin."""
    assert "nothing in it" in faults_of(text)[0].detail


@pytest.mark.parametrize("depth", [101, 20_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ('{"a":', "}")])
def test_what_is_nested_too_deep_is_refused(depth: int, opening: str, closing: str) -> None:
    """A parser that recurses would end the process."""
    text = '"config": ' + opening * depth + "1" + closing * depth

    assert any("nested deeper" in fault.detail for fault in faults_of("{" + text + "}"))


@pytest.mark.slow
def test_aliases_that_multiply_are_refused() -> None:
    """Nine lines can stand for a billion values."""
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    assert any("aliases repeat" in fault.detail for fault in faults_of("\n".join(lines)))


def test_a_message_never_shows_what_stands_in_the_file() -> None:
    """What looks like an alias or a tag may be a password."""
    for line in ("a: *hunter2", "a: !hunter2 x", "a: &hunter2 1\nb: %hunter2", "a: 'hunter2", 'a: "\\hunter2"'):
        assert not any("hunter2" in str(fault) for fault in faults_of(line))


def test_numbers_and_dates_are_read_as_yaml_1_2() -> None:
    """As Fleece's library read them; what JSON has no type for is text."""
    text = "[yes, NO, on, 012, 0o14, 0x1F, 1_000, 1:30, 1e3, .5, ~, True, 2024-01-01, =, -7, '1']"

    assert parse_document(text, "c").tree == [
        "yes", "NO", "on", 12, 12, 31, 1000, "1:30", 1000.0, 0.5, None, True, "2024-01-01", "=", -7, "1",
    ]  # fmt: skip


@pytest.mark.slow
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.sampled_from([None, 0, 4]))
def test_a_text_written_as_a_scalar_reads_back_the_same(value: str, indent: int | None) -> None:
    """In block and flow style, with any content."""
    pad = " " * (indent or 0)
    key = f"{pad}k: " if indent is not None else "{k: "
    text = (
        ("a:\n" if indent else "")
        + key
        + render_scalar(value, indent=indent)
        + ("}" if indent is None else "\n" + pad + "z: 1\n")
    )

    tree = parse_document(text, "c").tree

    assert isinstance(tree, dict)
    assert (tree["a"] if indent else tree)["k"] == value


@pytest.mark.slow
@given(st.text(alphabet="0123456789.+-_eExXob~:nulNtrueFalsINay", max_size=8))
def test_a_plain_scalar_means_what_ruamel_reads(text: str) -> None:
    """Two readers of one file must agree."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        expected = YAML(typ="safe", pure=True).load(f"- {text}\n")
    except (YAMLError, ValueError, TypeError, IndexError):
        return
    if isinstance(expected, list) and len(expected) == 1 and isinstance(expected[0], (str, int, float, type(None))):
        (value,) = expected
        made = scalar_of(text.strip())
        is_too_large = isinstance(value, float) and math.isinf(value)  # stays text here, as `1e400`
        if not (isinstance(value, (int, float)) and "_" in text) and not is_too_large:
            assert repr(made) == repr(value)


def test_a_scalar_is_replaced_and_nothing_else() -> None:
    """Comments, quotes, blank lines and order stay."""
    text = "# head\na:  'x'   # why\n\nb: [1, \"y\"]\nc: |\n  one\n  two\n\n# tail\n"
    document = parse_document(text, "c")

    made = replace_scalars(document, {("a",): "X", ("b", 1): "Y", ("c",): "Z"}, lambda value, _: value)

    assert made == "# head\na:  X   # why\n\nb: [1, Y]\nc: Z\n\n# tail\n"
