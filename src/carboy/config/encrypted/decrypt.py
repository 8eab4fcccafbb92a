"""Decrypt an encrypted file: every secret with its key, each stage's MAC checked, all faults reported at once."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from carboy.config.encrypted.key_paths import Path, filled, map_leaves, show
from carboy.config.encrypted.keyring import Keyring, KeyService, WrongKey, in_parallel
from carboy.config.encrypted.scalars import render_scalar
from carboy.config.encrypted.sealed import DoesNotOpen, StageKey, mac_of, unseal
from carboy.config.encrypted.structure import (
    DECRYPT,
    ENCRYPT,
    SEALED,
    Block,
    Config,
    Stage,
    faulty,
    parse_config,
    pick,
)
from carboy.config.encrypted.yaml_document import replace_scalars
from carboy.errors import ConfigurationError, Fault

_DOWNGRADED = (
    "is in Fleece's form where a sealed one is expected, so that it may have been put here without the right to seal: "
    "write the value itself, as `:encrypt:…`"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, open.

    Attributes:
        value: what it is; text, unless another program sealed it.
        text: what the file has for it.
        stage: whose key it is under.
        key: what sealed it; None in Fleece's form.
    """

    value: object = field(repr=False)
    text: str
    stage: Stage
    key: StageKey | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A closed file with its secrets open."""

    config: Config
    secrets: dict[Path, Secret] = field(repr=False)


def open_secrets(
    config: Config,
    keyring: Keyring,
    stages: Iterable[str] | None = None,
    only: Iterable[Path] | None = None,
    *,
    trust_macs: bool = False,
) -> Opened:
    """Return a file's secrets, open.

    Args:
        config: a closed file.
        keyring: gives the keys: one call of the key service for a data key, one for each of Fleece's values.
        stages: the entries of `stages` to open and check; all of them when None.
        only: the secrets to open, when not all; the MACs are checked over all the same.
        trust_macs: whether to leave the MACs unchecked.

    Raises:
        ConfigurationError: something was tampered with; every fault is named.
        UpstreamError: the key service refused or was unavailable.
    """
    wanted = set(config.stages if stages is None else stages)
    chosen = list(config.secrets) if only is None else list(only)
    opening = _Opening(config, keyring, _open_keys(config, keyring, wanted))
    for name in opening.keys:
        opening.unseal(name, chosen, trust_mac=trust_macs)
    old = opening.find_old(chosen, wanted)
    opening.faults += downgraded(config, chosen, wanted & set(config.seals))
    if not opening.faults:  # nothing is decrypted for a file that is refused
        opening.open_old(old)
    if opening.faults:
        hint = "look in git who changed it; after a merge by hand: carboy config rekey --after-merge"
        raise faulty(config.document.source, opening.faults, hint)
    return Opened(config, opening.secrets)


def downgraded(config: Config, paths: Iterable[Path], stages: Iterable[str]) -> list[Fault]:
    """Return a fault for each secret in Fleece's form that stands in a stage with a seal.

    KMS encrypts that form without the stage or the place in it: it is never opened where a seal promises more.

    Args:
        config: a closed file.
        paths: the secrets to look at.
        stages: the entries of `stages` that have a seal.
    """
    sealed = set(stages)
    found = ((path, *config.secrets[path]) for path in paths)
    return [
        config.fault(path, _DOWNGRADED)
        for path, text, stage in found
        if text.startswith(DECRYPT) and stage.name in sealed
    ]


def _open_keys(config: Config, keyring: Keyring, wanted: set[str]) -> dict[str, list[tuple[Block, StageKey]]]:
    """Return for each sealed stage its blocks and keys, the main one first; the calls run in parallel."""
    if keyring.is_pinned:
        for name in wanted - set(config.seals):
            raise ConfigurationError(
                f"the stage `{name}` cannot be opened",
                "KMS keys are pinned, and this stage is sealed under none",
                f"seal it: carboy config rekey --sealed {name}",
            ) from None
    blocks = [(name, part) for name, block in config.seals.items() if name in wanted for part in (block, *block.added)]
    found = in_parallel(lambda item: keyring.open(config.stages[item[0]], item[1]), blocks)
    keys: dict[str, list[tuple[Block, StageKey]]] = {}
    for (name, block), key in zip(blocks, found, strict=True):
        keys.setdefault(name, []).append((block, key))
    return keys


class _Opening:
    """The decryption of one file: the secrets that are open so far, and what is wrong.

    Args:
        config: a closed file.
        keyring: opens what is in Fleece's form.
        keys: for each sealed stage its blocks and keys, the main one first.
    """

    def __init__(self, config: Config, keyring: Keyring, keys: dict[str, list[tuple[Block, StageKey]]]) -> None:
        self.config, self.keyring, self.keys = config, keyring, keys
        self.secrets: dict[Path, Secret] = {}
        self.faults: list[Fault] = []

    def unseal(self, name: str, chosen: Iterable[Path], *, trust_mac: bool) -> None:
        """Open the chosen secrets of a stage, and check its MACs over all of them."""
        ring, stage = self.keys[name], self.config.stages[name]
        sealed_texts = {
            path: text
            for path, (text, owner) in self.config.secrets.items()
            if owner.name == name and text.startswith(SEALED)
        }
        for path in sealed_texts if len(ring) > 1 else [path for path in chosen if path in sealed_texts]:
            text = sealed_texts[path]
            for _, key in ring:
                try:
                    self.secrets[path] = Secret(unseal(key, path, text), text, stage, key)
                    break
                except DoesNotOpen:
                    continue
            else:
                self._fault(path, self._diagnose(text))
        if not trust_mac:
            self._check_macs(name, sealed_texts)

    def _diagnose(self, text: str) -> str:
        """Return what was done to a value that cannot be decrypted: it is tried at every other place of the file."""
        for other, (_, stage) in self.config.secrets.items():
            for _, key in self.keys.get(stage.name, []):
                with suppress(DoesNotOpen):
                    unseal(key, other, text)
                    return f"was sealed for `{show(other)}`: it was swapped, or copied from there"
        return "does not open here: it was changed, or sealed for another place, name or stage"

    def _check_macs(self, name: str, sealed_texts: Mapping[Path, str]) -> None:
        ring = self.keys[name]
        for block, key in ring:
            texts = [
                (path, text)
                for path, text in sealed_texts.items()
                if len(ring) == 1 or (path in self.secrets and self.secrets[path].key is key)
            ]
            if not (block.mac.isascii() and hmac.compare_digest(mac_of(key, block.kms, texts), block.mac)):
                detail = (
                    f"the MAC of the stage `{name}` does not match: a secret was deleted, replaced by plain text, "
                    "renamed, or put back from an older version"
                )
                self.faults.append(self.config.document.fault(("seal", name, "mac"), detail, f"seal.{name}.mac"))

    def find_old(self, chosen: Iterable[Path], wanted: set[str]) -> list[tuple[Path, str, Stage]]:
        """Return the secrets in Fleece's form; note a fault for each secret that cannot be decrypted."""
        old = []
        for path in chosen:
            text, stage = self.config.secrets[path]
            is_sealed = stage.name in self.config.seals
            if text.startswith(ENCRYPT):
                self._fault(path, "is in plain text: encrypt the file with `carboy config import`")
            elif stage.name not in wanted:
                continue
            elif text.startswith(SEALED) and not is_sealed:
                self._fault(path, f"is sealed, but `seal` has no key of the stage `{stage.name}`")
            elif text.startswith(DECRYPT) and self.keyring.is_pinned:
                self._fault(path, _DOWNGRADED)
            elif text.startswith(DECRYPT) and not is_sealed:
                old.append((path, text, stage))
        return old

    def open_old(self, old: list[tuple[Path, str, Stage]]) -> None:
        """Open secrets in Fleece's form; the calls of the key service run in parallel."""
        for stage in {stage.environment: stage for _, _, stage in old}.values():
            self.keyring.service(stage)  # credentials first, once, before many threads need them

        def one(item: tuple[str, Stage]) -> str | None:
            text, stage = item
            try:
                return self.keyring.open_old(stage, text)
            except WrongKey:
                return None

        distinct = dict.fromkeys((text, stage) for _, text, stage in old)
        plain = dict(zip(distinct, in_parallel(one, distinct), strict=True))
        for path, text, stage in old:
            value = plain[text, stage]
            if value is None:
                self._fault(
                    path, f"was not encrypted under the key of its stage, `{stage.key}`: it was moved here, or cut"
                )
            else:
                self.secrets[path] = Secret(value, text, stage, None)

    def _fault(self, path: Path, detail: str) -> None:
        self.faults.append(self.config.fault(path, detail))


# One stage


def render_stage(config: Config, stage: str, keyring: Keyring) -> dict[str, object]:
    """Return what a stage sees: plain values.

    Raises:
        ConfigurationError: the stage has no value somewhere, or the file was tampered with.
        UpstreamError: the key service refused or was unavailable.
    """
    entry = config.stage(stage)
    seen, paths, faults = pick(config, stage)
    if faults:
        raise faulty(config.document.source, faults)
    needed = {config.secrets[path][1].name for path in paths} | {entry.name}
    if entry.name in config.seals and (faults := downgraded(config, paths, needed)):
        raise faulty(config.document.source, faults, "move the other stage too: carboy config rekey --sealed")
    opened = open_secrets(config, keyring, needed, paths)

    def fill(_path: Path, value: object) -> object:
        return opened.secrets[value].value if isinstance(value, tuple) else value

    values: dict[str, object] = map_leaves(seen, fill)
    return values


def load_text(
    data: bytes, source: str, stage: str, service: KeyService, allowed_keys: Sequence[str] = ()
) -> dict[str, object]:
    """Return the values of a stage in a closed file's bytes, by one key service for all."""
    config = parse_config(data, source)
    return render_stage(config, stage, Keyring(lambda _: service, config.app, allowed=allowed_keys))


# The open form


def _open_texts(opened: Opened) -> dict[Path, str]:
    faults, texts = [], {}
    for path, secret in opened.secrets.items():
        if not isinstance(secret.value, str):
            faults.append(opened.config.fault(path, "is a secret that is not text, which the open form cannot show"))
        texts[path] = ENCRYPT + str(secret.value)
    if faults:
        raise faulty(opened.config.document.source, faults)
    return texts


def open_tree(opened: Opened) -> dict[str, object]:
    """Return the open form of a file as plain values."""
    return {**opened.config.content, "config": filled(opened.config.tree, _open_texts(opened))}


def open_text(opened: Opened) -> str:
    """Return the open form of a YAML file: its own text, the secrets open, comments, order and layout kept."""
    from carboy.config.encrypted.yaml_edit import cut_top

    document = opened.config.document
    values: dict[Path, str] = {("config", *path): text for path, text in _open_texts(opened).items()}
    text = replace_scalars(document, values, lambda value, indent: render_scalar(value, indent=indent))
    return cut_top(text, document.source, ("format", "seal"))
