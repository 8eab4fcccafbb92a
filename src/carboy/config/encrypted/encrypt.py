"""Encrypt a decrypted file: seal new values, keep the bytes of others, and set each stage's MAC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from carboy.config.encrypted.decrypt import Opened, Secret, open_secrets, open_text, open_tree
from carboy.config.encrypted.key_paths import Index, Path, encode, filled, parse, show
from carboy.config.encrypted.keyring import MAX_PLAIN_BYTES, Keyring, in_parallel
from carboy.config.encrypted.sealed import StageKey, mac_of, seal
from carboy.config.encrypted.selectors import is_selection
from carboy.config.encrypted.structure import (
    DECRYPT,
    ENCRYPT,
    SEALED,
    Block,
    Config,
    Stage,
    faulty,
    parse_config,
    seal_mapping,
    unresolved,
)
from carboy.config.encrypted.yaml_document import Document
from carboy.config.encrypted.yaml_edit import adopt_keys, dump_yaml, merge_into, same, write_config
from carboy.errors import ConfigurationError, Fault, Refused, UsageError


@dataclass(frozen=True, slots=True)
class _Closed:
    texts: dict[Path, str]
    seals: dict[str, Block]
    is_sealed: bool


def close_text(data: bytes | str, source: str, old: Opened | None, keyring: Keyring) -> str | None:
    """Return the closed file's new text for an open form; None when nothing changed.

    Args:
        data: the open form, YAML or JSON.
        source: its name in messages.
        old: the current encrypted file, decrypted; None without one.
        keyring: seals what is new.

    Raises:
        ConfigurationError: every fault in the open form.
        UpstreamError: the key service refused or was unavailable.
    """
    new = parse_config(data, source)
    if old is not None and new.document.is_json:
        adopted = adopt_keys(new.document.tree, old.config.document.tree)
        new = _reread(new, adopted)
    if old is not None and _is_unchanged(new, old):
        return None
    faults = unresolved(new)
    if faults:
        raise faulty(source, faults)
    closed = _close_secrets(new, old, keyring.named(new.app))
    values = _below_config(closed.texts)
    tree = filled(new.content, values)
    form = 2 if closed.is_sealed else 1
    seals = seal_mapping(closed.seals)
    if not new.document.is_json:
        return write_config(new.document, tree, values, seals, form)
    whole = {"format": 2, **tree, **({"seal": seals} if seals else {})} if closed.is_sealed else tree
    if old is None:
        return dump_yaml(whole)
    if old.config.document.is_json:
        return write_config(old.config.document, tree, {}, seals, form)
    return merge_into(old.config.document.text, whole, source)


def _reread(config: Config, tree: Any) -> Config:
    """Return a configuration that was JSON with keys adopted from YAML."""
    if same(tree, config.document.tree):
        return config
    again = parse_config(dump_yaml(tree), config.document.source)
    return replace(again, document=replace(again.document, is_json=True))


def _below_config(texts: Mapping[Path, str]) -> dict[Path, str]:
    return {("config", *path): text for path, text in texts.items()}


def _is_unchanged(new: Config, old: Opened) -> bool:
    if new.document.text == old.config.document.text:
        return True
    if new.document.is_json or old.config.document.is_json:
        return same(new.content, open_tree(old))
    return new.document.text == open_text(old)


def _close_secrets(new: Config, old: Opened | None, keyring: Keyring) -> _Closed:
    form, old = old, old if old and old.config.app == new.app else None  # another application has other keys
    before = {encode(path): secret for path, secret in old.secrets.items()} if old else {}
    kept: dict[Path, Secret] = {}
    fresh: dict[Path, tuple[str, Stage]] = {}
    texts: dict[Path, str] = {}
    faults: list[Fault] = []
    for path, (text, stage) in new.secrets.items():
        was = before.get(encode(path))
        was = was if was and (was.stage.name, was.stage.key) == (stage.name, stage.key) else None
        if was and (text == was.text or (text.startswith(ENCRYPT) and text[len(ENCRYPT) :] == was.value)):
            texts[path], kept[path] = was.text, was
        elif text.startswith(ENCRYPT):
            fresh[path] = (text[len(ENCRYPT) :], stage)
        elif text.startswith(DECRYPT) and not (form and form.config.is_sealed):
            texts[path] = text
        else:
            faults.append(new.fault(path, "is sealed for another place: write it open, as `:encrypt:…`"))
    is_sealed = form.config.is_sealed if form else not any(text.startswith(DECRYPT) for text, _ in new.secrets.values())
    if not is_sealed:
        faults += [new.fault(path, why) for path, (plain, _) in fresh.items() if (why := _too_much_for_kms(plain))]
    if faults:
        raise faulty(new.document.source, faults)
    if not is_sealed:
        closed = in_parallel(lambda item: keyring.close_old(item[1], item[0]), fresh.values())
        return _Closed({**texts, **dict(zip(fresh, closed, strict=True))}, {}, False)
    seals = {}
    for name, stage in new.stages.items():
        was_stage = old.config.stages.get(name) if old else None
        block = old.config.seals.get(name) if old and was_stage and was_stage.key == stage.key else None
        mine = {path: plain for path, (plain, of) in fresh.items() if of.name == name}
        of_stage = {path: secret for path, secret in kept.items() if secret.stage.name == name}
        sealed_before = {path: secret for path, secret in of_stage.items() if secret.key}
        if mine:  # a stage has one form: what is in Fleece's moves with the first that is sealed
            mine |= {path: str(secret.value) for path, secret in of_stage.items() if not secret.key}
        if mine or block:
            sealed, seals[name] = _seal_stage(stage, block, mine, sealed_before, keyring)
            texts.update(sealed)
    return _Closed(texts, seals, True)


def _too_much_for_kms(plain: str) -> str | None:
    if not plain:
        return "is empty, which KMS does not encrypt: `carboy config rekey --sealed` moves the file to a form that does"
    if len(plain.encode()) > MAX_PLAIN_BYTES:
        return f"is over {MAX_PLAIN_BYTES:,} bytes, which KMS does not encrypt: `carboy config rekey --sealed` helps"
    return None


def _seal_stage(
    stage: Stage, block: Block | None, fresh: Mapping[Path, str], kept: Mapping[Path, Secret], keyring: Keyring
) -> tuple[dict[Path, str], Block]:
    """Return the texts of a stage's new secrets, and its block with the MACs of all."""
    key, main = (keyring.open(stage, block), block) if block else keyring.new(stage)
    texts = {path: seal(key, path, plain) for path, plain in fresh.items()}
    return texts, with_macs(stage, key, main, texts, kept, keyring)


def with_macs(
    stage: Stage, key: StageKey, main: Block, texts: Mapping[Path, str], kept: Mapping[Path, Secret], keyring: Keyring
) -> Block:
    """Return a stage's block with MACs over its new texts and the kept ones; added keys without a value are dropped."""
    by_kid = dict[str, list[tuple[Path, str]]]()
    for path, secret in kept.items():
        if secret.key:
            by_kid.setdefault(secret.key.kid, []).append((path, secret.text))
    added = [
        part.with_mac(mac_of(keyring.open(stage, part), part.kms, by_kid[part.kid]))
        for part in main.added
        if part.kid in by_kid
    ]
    mac = mac_of(key, main.kms, [*texts.items(), *by_kid.get(key.kid, [])])
    return replace(main, mac=mac, added=tuple(added))


# New keys


def rekey_text(opened: Opened, keyring: Keyring, stages: Iterable[str], *, to_sealed: bool) -> str:
    """Return the closed file's text with new data keys for some stages, all their secrets sealed again.

    Args:
        opened: the file, open.
        keyring: makes the keys.
        stages: the entries of `stages`.
        to_sealed: whether Fleece's `:decrypt:` values of these stages become sealed ones.
    """
    config = opened.config
    if not (config.is_sealed or to_sealed):
        raise UsageError(
            "the file has no data key to renew", "the file is in Fleece's form", "move it: carboy config rekey --sealed"
        )
    texts, seals = {}, dict(config.seals)
    for name in stages:
        stage = config.stages[name]
        mine = {
            path: secret.value
            for path, secret in opened.secrets.items()
            if secret.stage.name == name and (secret.key or to_sealed)
        }
        key, block = keyring.new(stage)
        sealed = {path: seal(key, path, value) for path, value in mine.items()}
        seals[name] = block.with_mac(mac_of(key, block.kms, sealed.items()))
        texts.update(sealed)
    values = _below_config(texts)
    return write_config(config.document, filled(config.content, values), values, seal_mapping(seals), 2)


# One value


def set_text(config: Config, keyring: Keyring, stage_name: str, where: str, value: str, *, is_secret: bool) -> str:
    """Return the closed file's text with one value of a stage set.

    A caller that may not decrypt the stage adds the secret under a data key of its own, which the next rekey replaces.

    Args:
        config: the closed file.
        keyring: seals the value.
        stage_name: a stage's name, or an entry of `stages` as it stands there.
        where: the path as `paths.parse` reads it.
        value: the text.
        is_secret: whether it is sealed; plain text otherwise.
    """
    stage = config.stage(stage_name)
    path, tree = _place(config, where, stage_name)
    seals = dict(config.seals)
    if not is_secret:
        text = (
            ":" + value
            if value.lstrip(":").startswith(("encrypt:", "decrypt:", "sealed:")) and value[:1] == ":"
            else value
        )
    elif config.is_sealed:
        text, seals[stage.name] = _seal_one(config, keyring, stage, path, value)
    else:
        why = _too_much_for_kms(value)
        if why:
            raise faulty(config.document.source, [Fault(show(path), why)])
        text = keyring.close_old(stage, value)
    if not is_secret and path in config.secrets and config.secrets[path][0].startswith(SEALED):
        seals[stage.name] = _without(config, keyring, stage, path)
    _put(tree, path, text)
    form = 2 if config.is_sealed else 1
    whole = {**config.content, "config": tree}
    return write_config(config.document, whole, {("config", *path): text}, seal_mapping(seals), form)


def _place(config: Config, where: str, stage: str) -> tuple[Path, dict[Any, Any]]:
    """Return the path where a stage's value goes, and a copy of the tree with everything above it there."""
    tree = filled(config.tree, {})
    node: Any = tree
    path: Path = ()
    steps = parse(where)
    for step in steps:
        if isinstance(node, dict) and node and is_selection(node):
            raise UsageError(f"`{where}` cannot be set", f"`{show(path)}` already chooses by stage", "name that path")
        if isinstance(node, list) and step.isascii() and step.isdigit() and int(step) < len(node):
            at: Any = Index(int(step))
        elif isinstance(node, dict) and step:
            at = next((key for key in node if str(key) == step), step)
            node.setdefault(at, {})
        else:
            raise UsageError(f"`{where}` cannot be set", f"`{show(path)}` has no place `{step}`", "correct the path")
        node, path = node[at], (*path, at)
    if not isinstance(node, dict) or (node and not is_selection(node)):
        raise UsageError(
            f"`{where}` cannot be set", "it has one value for every stage", "change it with: carboy config edit"
        )
    node.setdefault("+" + stage, "")
    return (*path, "+" + stage), tree


def _put(tree: Any, path: Path, text: str) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = text


def _seal_one(config: Config, keyring: Keyring, stage: Stage, path: Path, value: str) -> tuple[str, Block]:
    block = config.seals.get(stage.name)
    if block is None and any(
        of.name == stage.name and text.startswith(DECRYPT) for text, of in config.secrets.values()
    ):
        hint = f"move them first: carboy config rekey --sealed {stage.name}"
        raise UsageError(f"`{show(path)}` cannot be sealed", "the stage's secrets are in Fleece's form", hint)
    if block is None:
        texts, block = _seal_stage(stage, None, {path: value}, {}, keyring)
        return texts[path], block
    try:
        opened = open_secrets(config, keyring, [stage.name])
    except Refused:
        if path in config.secrets:
            raise ConfigurationError(
                f"`{show(path)}` cannot be replaced",
                f"it is a secret, and these credentials may not open the stage `{stage.name}`",
                "add secrets under new names; to replace one takes kms:Decrypt",
            ) from None
        key, new = keyring.new(stage)
        text = seal(key, path, value)
        added = new.with_mac(mac_of(key, new.kms, [(path, text)]))
        return text, replace(block, added=(*block.added, added))
    kept = {at: secret for at, secret in opened.secrets.items() if at != path and secret.stage.name == stage.name}
    texts, block = _seal_stage(stage, block, {path: value}, kept, keyring)
    return texts[path], block


def _without(config: Config, keyring: Keyring, stage: Stage, path: Path) -> Block:
    opened = open_secrets(config, keyring, [stage.name])
    kept = {at: secret for at, secret in opened.secrets.items() if at != path and secret.stage.name == stage.name}
    return _seal_stage(stage, config.seals[stage.name], {}, kept, keyring)[1]


def remac_text(opened: Opened, keyring: Keyring) -> str:
    """Return the file's text with MACs over the secrets that it now has, each of which opened at its place."""
    config = opened.config
    seals = {}
    for name, block in config.seals.items():
        kept = {path: secret for path, secret in opened.secrets.items() if secret.stage.name == name}
        seals[name] = _seal_stage(config.stages[name], block, {}, kept, keyring)[1]
    return write_config(config.document, config.content, {}, seal_mapping(seals), 2)


def template(environments: Iterable[str], source: str) -> Document:
    """Return the open form of a first file, with every environment as a stage."""
    names = list(environments) or ["dev"]
    stages = {name: {"environment": name, "key": "enter-key-name-here"} for name in names}
    return parse_config(dump_yaml({"stages": stages, "config": {}}), source).document
