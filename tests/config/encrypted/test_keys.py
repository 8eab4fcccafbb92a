"""New keys for a file, and secrets from people who may not read any."""

import pytest
from tests.config.encrypted.kit import OPEN, Desk

from carboy.config.encrypted.decrypt import open_secrets
from carboy.config.encrypted.encrypt import rekey_text, remac_text, set_text
from carboy.config.encrypted.structure import parse_config
from carboy.errors import CarboyError, ConfigurationError, Refused, UsageError


def put(desk: Desk, closed: str, path: str, value: str, stage: str = "prod", *, is_secret: bool = True) -> str:
    return set_text(parse_config(closed, "c"), desk.ring(), stage, path, value, is_secret=is_secret)


def rekey(desk: Desk, closed: str, *stages: str, to_sealed: bool = False) -> str:
    return rekey_text(desk.open(closed), desk.ring(), stages, to_sealed=to_sealed)


def test_rekey_seals_every_secret_under_a_new_data_key(desk: Desk) -> None:
    """The old key opens nothing of the new file."""
    closed = desk.close(OPEN)

    again = rekey(desk, closed, "prod", "/.*/")

    before, after = parse_config(closed, "c"), parse_config(again, "c")
    assert desk.open_text(again) == OPEN
    assert {block.kid for block in before.seals.values()}.isdisjoint(block.kid for block in after.seals.values())
    assert {text for text, _ in before.secrets.values()}.isdisjoint(text for text, _ in after.secrets.values())


def test_one_stage_is_rekeyed_alone(desk: Desk) -> None:
    """The other's lines stay."""
    closed = desk.close(OPEN)

    again = rekey(desk, closed, "prod")

    before, after = parse_config(closed, "c"), parse_config(again, "c")
    assert before.seals["/.*/"] == after.seals["/.*/"]
    assert before.seals["prod"] != after.seals["prod"]


def test_fleeces_file_moves_to_the_sealed_form(desk: Desk) -> None:
    """Also one stage at a time; both forms stand in one file meanwhile."""
    fleece = desk.fleece(OPEN)

    half = rekey(desk, fleece, "prod", to_sealed=True)
    whole = rekey(desk, half, "prod", "/.*/", to_sealed=True)

    for text in (half, whole):
        assert desk.open_text(text) == OPEN
    assert ":decrypt:" in half
    assert ":decrypt:" not in whole


def test_a_file_in_fleeces_form_has_no_data_key_to_renew(desk: Desk) -> None:
    """The message says how to get one."""
    with pytest.raises(UsageError, match="Fleece's form") as caught:
        rekey(desk, desk.fleece(OPEN), "prod")
    assert "--sealed" in caught.value.hint


def test_a_secret_is_added_without_the_right_to_read_any(desk: Desk) -> None:
    """By a second data key, which the next rekey folds in."""
    closed = desk.close(OPEN)
    desk.keys.denied = {"decrypt"}

    added = put(desk, closed, "nested.token", "from the outside")
    added = put(desk, added, "nested.other", "twice")

    assert len(parse_config(added, "c").seals["prod"].added) == 2
    with pytest.raises(Refused):
        desk.open(added)
    desk.keys.denied = set()
    assert desk.render(added)["nested"]["token"] == "from the outside"  # type: ignore[index]
    folded = rekey(desk, added, "prod")
    assert parse_config(folded, "c").seals["prod"].added == ()
    assert desk.render(folded) == desk.render(added)


def test_whoever_may_not_read_cannot_replace(desk: Desk) -> None:
    """The MAC of those who may would break."""
    closed = desk.close(OPEN)
    desk.keys.denied = {"decrypt"}

    with pytest.raises(ConfigurationError, match="cannot be replaced"):
        put(desk, closed, "password", "x")


def test_an_added_secret_is_bound_to_its_place_as_well(desk: Desk) -> None:
    """Its data key has a MAC of its own."""
    closed = desk.close(OPEN)
    desk.keys.denied = {"decrypt"}
    added = put(desk, closed, "nested.token", "from the outside")
    desk.keys.denied = set()
    sealed = parse_config(added, "c").secrets[("nested", "token", "+prod")][0]

    with pytest.raises(ConfigurationError, match=r"MAC of the stage `prod`"):
        desk.render(added.replace(sealed, "plain"))


def test_an_edit_keeps_what_was_added(desk: Desk) -> None:
    """And its key, until a rekey."""
    closed = desk.close(OPEN)
    desk.keys.denied = {"decrypt"}
    added = put(desk, closed, "nested.token", "from the outside")
    desk.keys.denied = set()

    again = desk.close(desk.open_text(added).replace("bob-prod-pw", "new"), added)

    assert desk.render(again)["nested"]["token"] == "from the outside"  # type: ignore[index]
    assert len(parse_config(again, "c").seals["prod"].added) == 1
    without = desk.close(OPEN, again)
    assert parse_config(without, "c").seals["prod"].added == ()


def test_set_replaces_a_secret_and_keeps_the_rest(desk: Desk) -> None:
    """Its line and the MAC's change, no other."""
    closed = desk.close(OPEN)

    again = put(desk, closed, "password", "new")

    assert desk.render(again)["password"] == "new"
    assert len(set(closed.splitlines()) ^ set(again.splitlines())) == 4


def test_set_reaches_into_lists_and_makes_what_is_missing(desk: Desk) -> None:
    """A path is keys and indexes."""
    again = put(desk, desk.close(OPEN), "nested.a_list.1.more.deep", "x")

    assert desk.render(again)["nested"]["a_list"][1]["more"] == {"deep": "x"}  # type: ignore[index]


def test_set_takes_an_expression_as_it_stands(desk: Desk) -> None:
    """For all other stages."""
    again = put(desk, put(desk, desk.close(OPEN), "new", "a", "/.*/"), "new", "b")

    assert desk.render(again, "any")["new"] == "a"
    assert desk.render(again, "prod")["new"] == "b"


def test_set_writes_plain_text_where_that_is_wanted(desk: Desk) -> None:
    """Also in place of a secret; a literal that looks like one is escaped."""
    closed = desk.close(OPEN)

    again = put(desk, put(desk, closed, "password", ":encrypt:literal", is_secret=False), "x", "1", is_secret=False)

    assert (desk.render(again)["password"], desk.render(again)["x"]) == (":encrypt:literal", "1")


def test_set_adds_to_fleeces_file_as_fleece_would(desk: Desk) -> None:
    """It has no data key."""
    again = put(desk, desk.fleece(OPEN), "nested.token", "x")

    assert parse_config(again, "c").secrets[("nested", "token", "+prod")][0].startswith(":decrypt:")
    assert desk.render(again)["nested"]["token"] == "x"  # type: ignore[index]


@pytest.mark.parametrize("path", ["foo", "nested", "nested.a_list.7.x", "password.x", "foo.bar", ""])
def test_set_refuses_a_place_that_cannot_be(desk: Desk, path: str) -> None:
    """A value of all stages, a list's end, a place within a choice."""
    with pytest.raises(CarboyError) as caught:
        put(desk, desk.close(OPEN), path, "x")
    assert caught.value.exit_code in {2, 3}


def test_after_a_merge_by_hand_the_macs_are_computed_again(desk: Desk) -> None:
    """Only where every secret still opens at its place."""
    closed = desk.close(OPEN)
    merged = "".join(line for line in closed.splitlines(True) if "# who needs it" not in line)
    opened = open_secrets(parse_config(merged, "c"), desk.ring(), trust_macs=True)

    again = remac_text(opened, desk.ring())

    assert desk.render(again)["password"] == "my-prod-password"
    with pytest.raises(ConfigurationError):
        desk.render(merged)
