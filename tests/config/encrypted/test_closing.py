"""From the open form to the closed one and back."""

import difflib
import json
import os
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.encrypted.kit import OPEN, Desk

from carboy.config.encrypted.decrypt import load_text, open_tree
from carboy.config.encrypted.encrypt import close_text
from carboy.config.encrypted.structure import parse_config
from carboy.config.encrypted.yaml_edit import dump_json
from carboy.errors import ConfigurationError


def changed_lines(before: str, after: str) -> list[str]:
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in found if line[:1] == "+" and not line.startswith("+++")]


def test_what_is_exported_is_what_was_imported(desk: Desk) -> None:
    """Comments, order, layout: byte for byte."""
    closed = desk.close(OPEN)

    assert desk.open_text(closed) == OPEN
    assert "my-prod-password" not in closed
    assert "# who needs it: the mailer" in closed
    assert parse_config(closed, "c").is_sealed


def test_a_change_touches_its_own_line_and_its_stages_mac(desk: Desk) -> None:
    """Small diffs in git: what did not change keeps its bytes."""
    closed = desk.close(OPEN)

    again = desk.close(OPEN.replace("bob-prod-pw", "new"), closed)

    lines = changed_lines(closed, again)
    assert len(lines) == 2
    assert ":sealed:" in lines[0]
    assert "mac:" in lines[1]
    assert desk.render(again)["nested"]["a_list"][0]["password1"] == "new"  # type: ignore[index]


def test_nothing_changed_means_nothing_is_written(desk: Desk) -> None:
    """Neither for YAML nor for JSON."""
    closed = desk.close(OPEN)
    opened = desk.open(closed)

    assert close_text(OPEN, "stdin", opened, desk.ring()) is None
    assert close_text(dump_json(open_tree(opened)), "stdin", opened, desk.ring()) is None
    assert close_text(closed, "stdin", opened, desk.ring()) is None


def test_one_call_of_kms_for_each_stage(desk: Desk) -> None:
    """To close, to open all, to render one."""
    closed = desk.close(OPEN)
    assert desk.keys.calls == {"generate_data_key": 2}

    desk.keys.calls.clear()
    desk.open(closed)
    assert desk.keys.calls == {"decrypt": 2}

    desk.keys.calls.clear()
    desk.render(closed, "prod")
    assert desk.keys.calls == {"decrypt": 1}


def test_json_is_merged_into_the_yaml_that_is_there(desk: Desk) -> None:
    """Comments and the types of keys survive an edit as JSON."""
    closed = desk.close(OPEN.replace("  foo: bar", "  8080: x\n  foo: bar"))
    tree = json.loads(dump_json(open_tree(desk.open(closed))))
    tree["config"]["foo"] = "other"
    tree["config"]["added"] = {"deep": [1, 2]}
    tree["config"]["password"]["+prod"] = ":encrypt:changed"

    again = desk.close(json.dumps(tree), closed)

    assert "# plain text" in again
    assert "# who needs it: the mailer" in again
    rendered = desk.render(again)
    assert (rendered["foo"], rendered["added"], rendered["password"]) == ("other", {"deep": [1, 2]}, "changed")
    assert 8080 in rendered  # type: ignore[comparison-overlap]
    assert len(changed_lines(closed, again)) <= 8


def test_a_first_file_may_come_as_json(desk: Desk) -> None:
    """As other programs write it."""
    tree = {"stages": {"prod": {"environment": "e", "key": "prod-key"}}, "config": {"a": {"+prod": ":encrypt:é😀"}}}

    assert desk.render(desk.close(json.dumps(tree))) == {"a": "é😀"}


def test_literals_that_look_like_secrets_are_escaped_by_a_colon(desk: Desk) -> None:
    """Fleece could not say them."""
    text = OPEN.replace(
        "foo: bar", "foo: '::encrypt:no secret'\n  b: '::decrypt:x'\n  c: ':::sealed:x'\n  d: ':other:'"
    )
    closed = desk.close(text)

    rendered = desk.render(closed)

    assert [rendered[key] for key in ("foo", "b", "c", "d")] == [
        ":encrypt:no secret",
        ":decrypt:x",
        "::sealed:x",
        ":other:",
    ]
    assert desk.open_text(closed) == text


def test_a_secret_that_starts_with_the_mark_stays_what_it_is(desk: Desk) -> None:
    """Only the first mark belongs to Carboy."""
    closed = desk.close(OPEN.replace(":encrypt:my-prod-password", "':encrypt::encrypt:x'"))

    assert desk.render(closed)["password"] == ":encrypt:x"
    assert "':encrypt::encrypt:x'" not in closed


@pytest.mark.slow
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=50))
def test_every_text_survives_sealing_and_the_open_form(secret: str) -> None:
    """Also line breaks, controls, marks and what looks like a number."""
    desk = Desk()
    tree = {
        "stages": {"prod": {"environment": "e", "key": "prod-key"}},
        "config": {"block": {"+prod": ":encrypt:" + secret}, "list": {"+prod": [":encrypt:" + secret, 1]}},
    }
    closed = desk.close(json.dumps(tree))

    assert desk.render(closed) == {"block": secret, "list": [secret, 1]}
    assert parse_config(desk.open_text(closed), "open").tree == tree["config"]
    assert desk.close(desk.open_text(closed), closed) == closed


def test_a_certificate_is_edited_as_lines(desk: Desk) -> None:
    """And is longer than KMS encrypts: the data key has no such limit."""
    pem = "-----BEGIN-----\n" + "\n".join([os.urandom(32).hex()] * 200) + "\n-----END-----\n"
    block = "|\n" + textwrap.indent(":encrypt:" + pem, " " * 6)
    text = OPEN.replace(":encrypt:my-prod-password\n", block)

    closed = desk.close(text)

    assert desk.render(closed)["password"] == pem
    assert desk.open_text(closed) == text


def test_the_length_of_a_secret_hides(desk: Desk) -> None:
    """To within 16 bytes."""
    texts = {}
    for secret in ("a", "abcdefgh", "abcdefghijklmn"):
        config = parse_config(desk.close(OPEN.replace("my-prod-password", secret)), "c")
        texts[secret] = len(config.secrets[("password", "+prod")][0])

    assert len(set(texts.values())) == 1


def test_another_kms_key_for_a_stage_seals_it_again(desk: Desk) -> None:
    """The old key is of no use to the new file."""
    closed = desk.close(OPEN)
    text = OPEN.replace("key: prod-key", "key: dev-key")

    again = desk.close(text, closed)

    assert desk.render(again) == desk.render(closed)
    before, after = (parse_config(file, "c").seals["prod"] for file in (closed, again))
    assert before.kms != after.kms
    assert before.kid != after.kid


def test_a_sealed_value_cannot_be_pasted_elsewhere(desk: Desk) -> None:
    """It would never open there."""
    closed = desk.close(OPEN)
    sealed = parse_config(closed, "c").secrets[("password", "+prod")][0]

    with pytest.raises(ConfigurationError, match="sealed for another place"):
        desk.close(OPEN.replace("bob-dev\n", f'"{sealed}"\n', 1), closed)


def test_a_stage_that_finds_no_value_is_refused_on_import(desk: Desk) -> None:
    """Before anything is encrypted."""
    with pytest.raises(ConfigurationError, match="has no value for the stage `prod`"):
        desk.close(OPEN.replace("          +prod: bob-prod\n", "").replace("+/.*/: bob-dev", "+dev: bob-dev"))
    assert not desk.keys.calls


# Fleece's form


def test_fleeces_file_is_read_exported_and_written_back_as_it_is(desk: Desk) -> None:
    """Its values keep their bytes; what changes is encrypted as Fleece did."""
    fleece = desk.fleece(OPEN)

    assert desk.open_text(fleece) == OPEN
    again = desk.close(OPEN.replace("bob-prod-pw", "new"), fleece)
    lines = changed_lines(fleece, again)
    assert len(lines) == 1
    assert ":decrypt:" in lines[0]
    assert "format" not in again
    assert desk.render(again, "any")["password"] == "my-dev-password"


def test_an_import_encrypts_only_what_changed(desk: Desk) -> None:
    """Fleece encrypted every value at every import."""
    fleece = desk.fleece(OPEN)
    desk.keys.calls.clear()

    desk.close(OPEN.replace("bob-prod-pw", "new"), fleece)

    assert desk.keys.calls["encrypt"] == 1


def test_equal_ciphertexts_are_decrypted_once(desk: Desk) -> None:
    """The calls cost time and money."""
    fleece = desk.fleece("stages: {prod: {environment: e, key: prod-key}}\nconfig:\n  a: {+prod: ':encrypt:x'}\n")
    value = parse_config(fleece, "c").secrets[("a", "+prod")][0]
    many = fleece + "".join(f"  b{i}: {{+prod: '{value}'}}\n" for i in range(20))
    desk.keys.calls.clear()

    assert desk.render(many)["b7"] == "x"
    assert desk.keys.calls["decrypt"] == 1


def test_a_ciphertext_of_another_stages_key_is_refused(desk: Desk) -> None:
    """Fleece accepted prod's ciphertext under dev when one role could use both keys."""
    fleece = desk.fleece(OPEN)
    secrets = parse_config(fleece, "c").secrets
    prod, dev = secrets[("password", "+prod")][0], secrets[("password", "+/.*/")][0]

    with pytest.raises(
        ConfigurationError, match=r"config\.yml:13: password\.\+/\.\*/: was not encrypted under the key"
    ):
        desk.render(fleece.replace(dev, prod), "dev")


@pytest.mark.parametrize("secret", ["", "x" * 4097, "é" * 2049])
def test_what_kms_does_not_encrypt_is_reported_before_any_call(desk: Desk, secret: str) -> None:
    """Fleece failed with ValidationException, the file half-written."""
    fleece = desk.fleece(OPEN)
    desk.keys.calls.clear()

    with pytest.raises(ConfigurationError, match="rekey --sealed"):
        desk.close(OPEN.replace(":encrypt:my-prod-password", f'":encrypt:{secret}"'), fleece)
    assert "encrypt" not in desk.keys.calls


def test_a_ciphertext_outside_of_a_stage_is_an_error(desk: Desk) -> None:
    """Fleece decrypted it under a stage that does not exist."""
    value = parse_config(desk.fleece(OPEN), "c").secrets[("password", "+prod")][0]

    with pytest.raises(ConfigurationError, match="must be under a stage"):
        desk.render(desk.fleece(OPEN).replace("foo: bar", f"foo: '{value}'"))


def test_an_export_takes_time_in_proportion_to_its_depth(desk: Desk) -> None:
    """Fleece's took 2 to the power of the depth: hours for 30 levels."""
    nested = "".join(f"{'  ' * level}k{level}:\n" for level in range(1, 60)) + "  " * 60 + "+prod: ':encrypt:x'\n"
    closed = desk.close("stages: {prod: {environment: e, key: prod-key}}\nconfig:\n" + nested)

    assert "':encrypt:x'" in nested
    assert ":encrypt:x" in desk.open_text(closed)


def test_an_alias_may_repeat_fleeces_values(desk: Desk) -> None:
    """Its ciphertexts are not bound to a place."""
    fleece = desk.fleece("stages: {prod: {environment: e, key: prod-key}}\nconfig:\n  a: &a\n    +prod: :encrypt:x\n")
    fleece = fleece.replace("+prod: ", "+prod: &x ") + "  b: *a\n  c: {+prod: *x}\n"

    assert desk.render(fleece) == {"a": "x", "b": "x", "c": "x"}
    assert desk.open_text(fleece).endswith("  a: &a\n    +prod: &x :encrypt:x\n  b: *a\n  c: {+prod: *x}\n")


def test_an_alias_of_a_secret_is_not_sealed_silently(desk: Desk) -> None:
    """A sealed value opens at one place only."""
    with pytest.raises(ConfigurationError, match="alias"):
        desk.close("stages: {prod: {environment: e, key: prod-key}}\nconfig:\n  a: &a {+prod: ':encrypt:x'}\n  b: *a\n")


def test_the_application_is_named_in_the_file(desk: Desk) -> None:
    """KMS's policies can distinguish services: a data key of one does not open for another."""
    closed = desk.close("app: orders\n" + OPEN)

    assert load_text(closed.encode(), "c", "prod", desk.keys)["password"] == "my-prod-password"
    with pytest.raises(ConfigurationError, match="not one that"):
        load_text(closed.replace("app: orders", "app: billing").encode(), "c", "prod", desk.keys)
