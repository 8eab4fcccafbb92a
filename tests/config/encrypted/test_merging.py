"""Two people change one file."""

import pytest
from tests.config.encrypted.kit import OPEN, Desk

from carboy.config.encrypted.encrypt import rekey_text, set_text
from carboy.config.encrypted.merging import Conflicts, merge_configs
from carboy.config.encrypted.structure import parse_config
from carboy.errors import ConfigurationError


def merge(desk: Desk, base: str, ours: str, theirs: str) -> str:
    configs = [parse_config(text, "config.yml") for text in (base, ours, theirs)]
    return merge_configs(configs[0], configs[1], configs[2], desk.ring())


def change(desk: Desk, closed: str, old: str, new: str) -> str:
    return desk.close(desk.open_text(closed).replace(old, new), closed)


def test_two_secrets_of_one_stage_merge(desk: Desk) -> None:
    """The MAC is computed again, over both."""
    base = desk.close(OPEN)

    merged = merge(desk, base, change(desk, base, "bob-prod-pw", "A"), change(desk, base, "prod-pw2", "B"))

    assert desk.open_text(merged) == OPEN.replace("bob-prod-pw", "A").replace("prod-pw2", "B")


def test_changes_of_two_stages_merge_without_kms(desk: Desk) -> None:
    """Though their lines touch: git alone would see a conflict."""
    base = desk.close(OPEN)
    ours, theirs = change(desk, base, "my-prod-password", "A"), change(desk, base, "my-dev-password", "B")
    desk.keys.calls.clear()

    merged = merge(desk, base, ours, theirs)

    assert not desk.keys.calls
    assert desk.render(merged)["password"] == "A"
    assert desk.render(merged, "any")["password"] == "B"


def test_new_keys_of_both_sides_are_kept(desk: Desk) -> None:
    """At the same place of the file."""
    base = desk.close(OPEN)
    ours = change(desk, base, "  nested:\n", "  one: {+prod: ':encrypt:1', +/.*/: x}\n  nested:\n")
    theirs = change(desk, base, "  nested:\n", "  two: {+prod: ':encrypt:2', +/.*/: x}\n  nested:\n")

    rendered = desk.render(merge(desk, base, ours, theirs))

    assert (rendered["one"], rendered["two"]) == ("1", "2")


def test_a_rekey_and_a_change_merge(desk: Desk) -> None:
    """What was sealed under the old key is sealed again under the new one."""
    base = desk.close(OPEN)
    rekeyed = rekey_text(desk.open(base), desk.ring(), ["prod"], to_sealed=False)
    changed = change(desk, base, "  nested:\n", "  more: {+prod: ':encrypt:x', +/.*/: y}\n  nested:\n")

    for ours, theirs in ((rekeyed, changed), (changed, rekeyed)):
        merged = merge(desk, base, ours, theirs)
        assert desk.render(merged)["more"] == "x"
        assert parse_config(merged, "c").seals["prod"].kid == parse_config(rekeyed, "c").seals["prod"].kid


def test_added_keys_of_both_sides_are_kept(desk: Desk) -> None:
    """Of two people who may not read."""
    base = desk.close(OPEN)
    desk.keys.denied = {"decrypt"}
    sides = [
        set_text(parse_config(base, "c"), desk.ring(), "prod", name, name, is_secret=True) for name in ("one", "two")
    ]
    desk.keys.denied = set()

    rendered = desk.render(merge(desk, base, *sides))

    assert (rendered["one"], rendered["two"]) == ("one", "two")


def test_the_same_new_value_on_both_sides_is_no_conflict(desk: Desk) -> None:
    """Though it is sealed in different bytes."""
    base = desk.close(OPEN)
    sides = [change(desk, base, "bob-prod-pw", "same") for _ in range(2)]

    assert desk.open_text(merge(desk, base, *sides)) == OPEN.replace("bob-prod-pw", "same")


def test_different_values_are_a_conflict_that_names_the_place(desk: Desk) -> None:
    """No change is lost silently."""
    base = desk.close(OPEN)

    with pytest.raises(Conflicts) as caught:
        merge(desk, base, change(desk, base, "bob-prod-pw", "A"), change(desk, base, "bob-prod-pw", "B"))
    assert caught.value.paths == ["config.nested.a_list.0.password1.+prod"]


def test_a_merge_never_blesses_what_was_tampered_with(desk: Desk) -> None:
    """Each side's MAC is checked first."""
    base = desk.close(OPEN)
    ours, theirs = change(desk, base, "bob-prod-pw", "A"), change(desk, base, "prod-pw2", "B")
    sealed = parse_config(theirs, "c").secrets[("password", "+prod")][0]

    with pytest.raises(ConfigurationError, match="MAC of the stage `prod`"):
        merge(desk, base, ours, theirs.replace(sealed, "plain"))


def test_fleeces_files_merge_as_well(desk: Desk) -> None:
    """They have no MAC."""
    base = desk.fleece(OPEN)

    merged = merge(desk, base, change(desk, base, "bob-prod-pw", "A"), change(desk, base, "prod-pw2", "B"))

    assert desk.open_text(merged) == OPEN.replace("bob-prod-pw", "A").replace("prod-pw2", "B")
