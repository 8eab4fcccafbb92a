"""Merge two versions of an encrypted file, place by place, and recompute the MACs.

Each side's own MACs are checked first, so that a merge never accepts a manipulated value.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from carboy.config.encrypted.decrypt import Opened, Secret, open_secrets
from carboy.config.encrypted.encrypt import with_macs
from carboy.config.encrypted.key_paths import Index, Path, encode, filled, show
from carboy.config.encrypted.keyring import Keyring
from carboy.config.encrypted.sealed import seal
from carboy.config.encrypted.structure import SEALED, Block, Config, parse_config, seal_mapping
from carboy.config.encrypted.yaml_document import Document, parse_document
from carboy.config.encrypted.yaml_edit import cut_top, dump_yaml, same, write_config
from carboy.errors import ConfigurationError

_MISSING: Any = object()


class Conflicts(Exception):
    """Both sides changed the same paths, each in its way."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths)
        self.paths = paths


def merge_configs(
    base: Config | None,
    ours: Config,
    theirs: Config,
    keyring: Keyring,
    merge_lines: Callable[[str, str, str], str | None] = lambda *_: None,
) -> str:
    """Return the text of the merged file.

    The key service is asked only for stages whose secrets both sides changed.

    Args:
        base: what both started from; None when there was no file.
        ours: our side.
        theirs: the other side.
        keyring: opens what both changed.
        merge_lines: tries a merge by line of three texts, for the comments' sake; None when it does not go.

    Raises:
        Conflicts: both changed the same value differently.
        ConfigurationError: a side was tampered with.
        UpstreamError: the key service refused or was unavailable.
    """
    seals, both = _merge_seals(base.seals if base else {}, ours.seals, theirs.seals)
    sides = [
        open_secrets(side, keyring, both, [path for path, (_, stage) in side.secrets.items() if stage.name in both])
        for side in (ours, theirs)
    ]
    merge = _TreeMerge(sides)
    tree = merge.values(base.content if base else {}, ours.content, theirs.content, ())
    if merge.conflicts:
        raise Conflicts(merge.conflicts)
    form = 2 if ours.is_sealed or theirs.is_sealed else 1
    seals = {name: block for name, block in seals.items() if name in tree["stages"]}
    whole = {"format": 2, **tree, "seal": seal_mapping(seals)} if form == 2 else tree
    merged = parse_config(dump_yaml(whole), ours.document.source)
    for name in both & set(seals):
        texts, seals[name] = _merge_stage(merged, name, seals[name], sides, keyring)
        tree = filled(tree, {("config", *path): text for path, text in texts.items()})
    document = _lines_merged(base, ours, theirs, tree, merge_lines) or ours.document
    return write_config(document, tree, {}, seal_mapping(seals), form)


def _merge_seals(
    base: dict[str, Block], ours: dict[str, Block], theirs: dict[str, Block]
) -> tuple[dict[str, Block], set[str]]:
    """Return the block of each stage, and the stages that both sides changed; there the newer data key is the main."""
    merged: dict[str, Block] = {}
    both = set()
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        was, our, their = base.get(name), ours.get(name), theirs.get(name)
        if our is None or their is None or our in {their, was} or their == was:
            found = their if our in {None, was} else our
            if found:
                merged[name] = found
            continue
        both.add(name)
        is_theirs = was is not None and our.kid == was.kid and their.kid != was.kid
        main = their if is_theirs else our
        others = {part.kid: part for part in (*our.added, *their.added)}
        merged[name] = replace(main, added=tuple(others.values()))
    return merged, both


def _merge_stage(
    merged: Config, name: str, block: Block, sides: list[Opened], keyring: Keyring
) -> tuple[dict[Path, str], Block]:
    """Return the texts of what must be sealed under the stage's main key, and its block with new MACs."""
    stage = merged.stages[name]
    key = keyring.open(stage, block)
    kids = {block.kid, *(part.kid for part in block.added)}
    known = {(encode(path), secret.text): secret for side in sides for path, secret in side.secrets.items()}
    kept: dict[Path, Secret] = {}
    texts: dict[Path, str] = {}
    for path, (text, of) in merged.secrets.items():
        if of.name != name or not text.startswith(SEALED):
            continue
        secret = known[encode(path), text]
        if secret.key and secret.key.kid in kids:
            kept[path] = secret
        else:
            texts[path] = seal(key, path, secret.value)
    return texts, with_macs(stage, key, block, texts, kept, keyring)


class _TreeMerge:
    def __init__(self, sides: list[Opened]) -> None:
        self.conflicts: list[str] = []
        self.ours, self.theirs = ({encode(path): secret for path, secret in side.secrets.items()} for side in sides)

    def values(self, base: Any, our: Any, their: Any, path: Path) -> Any:
        """Return what three values merge to; `_MISSING` stands for one that is not there."""
        if same(our, their) or same(base, their):
            return our
        if same(base, our):
            return their
        if isinstance(our, dict) and isinstance(their, dict):
            return self._mappings(base if isinstance(base, dict) else {}, our, their, path)
        if isinstance(our, list) and isinstance(their, list) and isinstance(base, list):
            if len(our) == len(their) == len(base):
                steps = enumerate(zip(base, our, their, strict=True))
                return [self.values(*three, (*path, Index(index))) for index, three in steps]
        elif self._is_same_secret(our, their, path):
            return our
        self.conflicts.append(show(path))
        return our

    def _mappings(self, base: Any, our: Any, their: Any, path: Path) -> dict[Any, Any]:
        made = {}
        for key in [*our, *(key for key in their if key not in our)]:
            was, ours, theirs = (side.get(key, _MISSING) for side in (base, our, their))
            value = self.values(was, ours, theirs, (*path, key))
            if value is not _MISSING:
                made[key] = value
        return made

    def _is_same_secret(self, our: object, their: object, path: Path) -> bool:
        ours, theirs = self.ours.get(encode(path[1:])), self.theirs.get(encode(path[1:]))
        return bool(ours and theirs and (ours.text, theirs.text) == (our, their) and same(ours.value, theirs.value))


def _lines_merged(
    base: Config | None, ours: Config, theirs: Config, tree: object, merge_lines: Callable[[str, str, str], str | None]
) -> Document | None:
    """Return the document that a merge by line gives, if it says what it must."""
    if base is None or any(side.document.is_json for side in (base, ours, theirs)):
        return None
    texts = [cut_top(side.document.text, "", ("format", "seal")) for side in (base, ours, theirs)]
    text = merge_lines(*texts)
    try:
        document = parse_document(text, ours.document.source) if text else None
    except ConfigurationError:
        return None
    return document if document and same(document.tree, tree) else None
