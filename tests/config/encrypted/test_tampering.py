"""What someone may do to the file who can write to git, and not to KMS: each is refused, and the place is named."""

import re
from collections.abc import Callable

import pytest
from tests.config.encrypted.kit import OPEN, Desk
from tests.lab.signing_keys import MemoryKeys

from carboy.config.encrypted.encrypt import rekey_text, set_text
from carboy.config.encrypted.structure import Config, parse_config
from carboy.errors import ConfigurationError, UsageError

LIST = """\
stages:
  prod: {environment: prod, key: prod-key}
  dev: {environment: dev, key: dev-key}
config:
  users:
    +prod: [":encrypt:one", ":encrypt:two"]
    +dev: []
  a: {+prod: :encrypt:left, +dev: ':encrypt:dev-left'}
  a:b: {+prod: plain, +dev: ''}
  tail: {b: {+prod: ':encrypt:inner', +dev: ''}}
"""


def secret(config: Config, *path: object) -> str:
    return config.secrets[path][0]  # type: ignore[index]


def swap(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


def swapped(text: str, config: Config, _: Desk) -> str:
    return swap(text, secret(config, "a", "+prod"), secret(config, "tail", "b", "+prod"))


def copied_between_stages(text: str, config: Config, _: Desk) -> str:
    return text.replace(secret(config, "a", "+prod"), secret(config, "a", "+dev"))


def swapped_in_a_list(text: str, config: Config, _: Desk) -> str:
    return swap(text, secret(config, "users", "+prod", 0), secret(config, "users", "+prod", 1))


def renamed(text: str, config: Config, _: Desk) -> str:
    return text.replace("  tail: {b:", "  tail: {c:")


def joined_to_an_ambiguous_path(text: str, config: Config, _: Desk) -> str:
    return text.replace("a:b: {+prod: plain", f'a:b: {{+prod: "{secret(config, "a", "+prod")}"')


def deleted(text: str, config: Config, _: Desk) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("  tail:"))


def made_plain(text: str, config: Config, _: Desk) -> str:
    return text.replace(secret(config, "a", "+prod"), "chosen by me")


def all_made_plain(text: str, config: Config, _: Desk) -> str:
    for sealed, stage in config.secrets.values():
        text = text.replace(sealed, "chosen by me") if stage.name == "prod" else text
    return text


def with_a_bit_flipped(text: str, config: Config, _: Desk) -> str:
    sealed = secret(config, "a", "+prod")
    return text.replace(sealed, sealed[:30] + ("A" if sealed[30] != "A" else "B") + sealed[31:])


def replayed(text: str, config: Config, desk: Desk) -> str:
    old = parse_config(desk.close(text_of(desk, text).replace(":encrypt:left", ":encrypt:older"), text), "old")
    return text.replace(secret(config, "a", "+prod"), secret(old, "a", "+prod"))


def text_of(desk: Desk, closed: str) -> str:
    return desk.open_text(closed)


def with_another_data_key(text: str, config: Config, desk: Desk) -> str:
    other = desk.ring().new(config.stages["prod"])[1]
    return text.replace(config.seals["prod"].data, other.data)


def with_another_kms_key(text: str, config: Config, desk: Desk) -> str:
    return text.replace(config.seals["prod"].kms, config.seals["dev"].kms)


def with_the_seal_of_another_stage(text: str, config: Config, _: Desk) -> str:
    prod, dev = config.seals["prod"], config.seals["dev"]
    for name in ("kms", "kid", "data", "mac"):
        text = swap(text, getattr(prod, name), getattr(dev, name))
    return text


def with_a_mac_that_is_not_ascii(text: str, config: Config, _: Desk) -> str:
    return text.replace(config.seals["prod"].mac, f"{config.seals['prod'].mac}\ufeff")


def without_its_seal(text: str, config: Config, _: Desk) -> str:
    return re.sub(r"  prod:\n(    (kms|kid|data|mac): .*\n)+", "", text)


CASES = [
    (swapped, "was sealed for `tail.b.+prod`: it was swapped, or copied from there"),
    (copied_between_stages, "a.+prod: does not open here"),
    (swapped_in_a_list, "was sealed for `users.+prod.1`"),
    (renamed, "tail.c.+prod: does not open here"),
    (joined_to_an_ambiguous_path, "a:b.+prod: was sealed for `a.+prod`"),
    (deleted, "a secret was deleted"),
    (made_plain, "replaced by plain text"),
    (all_made_plain, "replaced by plain text"),
    (with_a_bit_flipped, "a.+prod: does not open here: it was changed"),
    (replayed, "put back from an older version"),
    (with_another_data_key, "the data key was swapped"),
    (with_another_kms_key, "a data key or a KMS key was swapped"),
    (with_the_seal_of_another_stage, "a data key or a KMS key was swapped"),
    (with_a_mac_that_is_not_ascii, "the MAC of the stage `prod` does not match"),
    (without_its_seal, "`seal` has no key of the stage `prod`"),
]


@pytest.mark.parametrize(("tamper", "said"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_file_is_refused(tamper: Callable[[str, Config, Desk], str], said: str, desk: Desk) -> None:
    """And the message says what was done, and where."""
    closed = desk.close(LIST)
    tampered = tamper(closed, parse_config(closed, "c"), desk)

    assert tampered != closed
    with pytest.raises(ConfigurationError) as caught:
        desk.render(tampered)
    assert said in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_untouched_file_renders(desk: Desk) -> None:
    """Else the refusals above would mean nothing."""
    assert desk.render(desk.close(LIST))["users"] == ["one", "two"]


def test_a_formatter_may_reorder_the_file(desk: Desk) -> None:
    """The MAC is over sorted pairs."""
    closed = desk.close(LIST)
    tree = parse_config(closed, "c").document.tree
    assert isinstance(tree, dict)
    from carboy.config.encrypted.yaml_edit import dump_json, dump_yaml

    tree = {**tree, "config": dict(reversed(tree["config"].items()))}

    for text in (dump_yaml(tree), dump_json(tree)):
        assert desk.render(text) == desk.render(closed)


def test_every_fault_of_tampering_is_reported_at_once(desk: Desk) -> None:
    """Both places of a swap, and the MAC."""
    closed = desk.close(LIST)

    with pytest.raises(ConfigurationError) as caught:
        desk.render(swapped(closed, parse_config(closed, "c"), desk))

    assert [fault.pointer.rpartition(" ")[2] for fault in caught.value.faults] == [
        "a.+prod",
        "tail.b.+prod",
        "seal.prod.mac",
    ]


# Pins, outside of the file


def forged(desk: Desk) -> tuple[str, MemoryKeys]:
    """Return a file that someone sealed with keys of an account of their own."""
    mallory = MemoryKeys("prod-key", "dev-key", account="666666666666")
    return Desk(mallory).close(OPEN.replace("my-prod-password", "chosen by mallory")), mallory


def test_a_file_of_other_kms_keys_is_refused_where_keys_are_pinned(desk: Desk) -> None:
    """Before the key service is asked."""
    closed, mallory = forged(desk)
    mallory.calls.clear()

    with pytest.raises(ConfigurationError, match="not among those that are allowed"):
        Desk(mallory).render(closed, allowed=["123456789012"])
    assert not mallory.calls


@pytest.mark.parametrize("pin", ["arn", "id", "account"])
def test_keys_are_pinned_by_arn_id_or_account(pin: str, desk: Desk) -> None:
    """What is allowed opens."""
    closed = desk.close(OPEN)
    arn = parse_config(closed, "c").seals["prod"].kms
    name = {"arn": arn, "id": arn.rpartition("/")[2], "account": "123456789012"}[pin]

    assert desk.render(closed, allowed=[name])["password"] == "my-prod-password"


def test_a_stage_without_a_seal_is_refused_where_keys_are_pinned(desk: Desk) -> None:
    """Else one could take all the secrets out, and the seal with them."""
    plain = "stages: {prod: {environment: e, key: prod-key}}\nconfig: {a: chosen by me}\n"

    with pytest.raises(ConfigurationError, match="sealed under none"):
        desk.render(plain, allowed=["123456789012"])


def test_an_alias_is_no_pin(desk: Desk) -> None:
    """Its account may point it elsewhere."""
    with pytest.raises(ConfigurationError, match="is an alias"):
        desk.ring(allowed=["alias/prod-key"])


def test_fleeces_values_are_pinned_as_well(desk: Desk) -> None:
    """By the key that KMS names in its answer."""
    fleece = desk.fleece(OPEN)
    config = parse_config(fleece, "c")

    with pytest.raises(ConfigurationError, match="not among those that are allowed"):
        desk.ring(allowed=["999999999999"]).open_old(config.stages["prod"], secret(config, "password", "+prod"))


# Fleece's form in a sealed stage: KMS binds it to no place


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("foo: bar ", "foo: {{+prod: '{blob}', +/.*/: ''}} "),
        ("          +prod: bob-prod\n", "          +prod: '{blob}'\n"),
        ("config:\n", "config:\n  fresh: {{+prod: '{blob}', +/.*/: ''}}\n"),
        ("      - username2: user2\n", "      - username2: user2\n        more: [{{+prod: '{blob}', +/.*/: ''}}]\n"),
    ],
)
@pytest.mark.parametrize("is_pinned", [False, True])
def test_fleeces_form_is_refused_in_a_sealed_stage(desk: Desk, old: str, new: str, is_pinned: bool) -> None:
    """A ciphertext from git's history, put where plain text goes, would be shown there."""
    closed = desk.close(OPEN)
    blob = desk.ring().close_old(parse_config(closed, "c").stages["prod"], "OLD-PASSWORD")
    pins = ["123456789012"] if is_pinned else []
    tampered = closed.replace(old, new.format(blob=blob), 1)

    assert tampered != closed
    for act in (lambda: desk.render(tampered, allowed=pins), lambda: desk.open(tampered)):
        with pytest.raises(ConfigurationError, match="Fleece's form where a sealed one is expected"):
            act()


def test_fleeces_form_is_refused_where_a_sealed_stage_reads_another(desk: Desk) -> None:
    """By a selector of a stage that has no seal, such as a regular expression's."""
    text = OPEN.replace("key: dev-key", "key: prod-key").replace("    +prod: :encrypt:my-prod-password\n", "")
    closed = desk.close(text.replace("+/.*/: :encrypt:", "+/.*/: "))
    blob = desk.ring().close_old(parse_config(closed, "c").stages["prod"], "OLD-PASSWORD")

    assert set(parse_config(closed, "c").seals) == {"prod"}
    with pytest.raises(ConfigurationError, match="Fleece's form where a sealed one is expected"):
        desk.render(closed.replace("my-dev-password", blob))


def test_a_stage_takes_one_form(desk: Desk) -> None:
    """Closing a new secret of a stage in Fleece's form seals the old ones with it."""
    fleece = desk.fleece()
    opened = desk.open(fleece)
    moved = rekey_text(opened, desk.ring(), ["prod"], to_sealed=True)
    config = parse_config(moved, "c")
    assert {text.split(":")[1] for text, stage in config.secrets.values() if stage.name == "prod"} == {"sealed"}
    assert {text.split(":")[1] for text, stage in config.secrets.values() if stage.name == "/.*/"} == {"decrypt"}

    closed = desk.close(desk.open_text(moved).replace(":encrypt:dev-pw2", ":encrypt:new"), moved)

    assert {text.split(":")[1] for text, _ in parse_config(closed, "c").secrets.values()} == {"sealed"}
    assert desk.render(closed, "dev")["password"] == "my-dev-password"


def test_a_secret_is_not_set_beside_fleeces_in_a_sealed_file(desk: Desk) -> None:
    """The hint is the command that moves the stage first."""
    moved = rekey_text(desk.open(desk.fleece()), desk.ring(), ["prod"], to_sealed=True)

    with pytest.raises(UsageError) as raised:
        set_text(parse_config(moved, "c"), desk.ring(), "dev", "fresh", "x", is_secret=True)
    assert "rekey --sealed" in raised.value.hint
