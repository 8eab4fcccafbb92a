"""What a configuration file is made of, open or closed, and every fault in it at once.

Decides with values only: which stages there are, which values are secret and whose, whether each stage finds one
value everywhere. Opening secrets is left to `opening`, writing them to `closing`.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from carboy.config.encrypted.key_paths import Index, Path, Step, leaves, show
from carboy.config.encrypted.selectors import Ambiguous, choose, expression, is_selection
from carboy.config.encrypted.yaml_document import Document, parse_document
from carboy.errors import ConfigurationError, Fault

ENCRYPT, DECRYPT, SEALED = ":encrypt:", ":decrypt:", ":sealed:"
_MARKS = (ENCRYPT, DECRYPT, SEALED)
_ESCAPED = re.compile(r"::+(?:encrypt|decrypt|sealed):")
_BLOCK_KEYS = ("kms", "kid", "data", "mac")


@dataclass(frozen=True, slots=True)
class Stage:
    """An entry of `stages`: whose credentials and which KMS key its secrets are under."""

    name: str
    environment: str
    key: str

    @property
    def key_id(self) -> str:
        """Return the key as KMS takes it: an ARN, an id, or `alias/…`."""
        if self.key.startswith(("arn:", "alias/", "mrk-")) or _UUID.fullmatch(self.key):
            return self.key
        return "alias/" + self.key


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Block:
    """A stage's data key as the file keeps it.

    Attributes:
        kms: the ARN of the KMS key that encrypts it.
        kid: what it must be once decrypted: a commitment.
        data: the data key, encrypted, in base64.
        mac: over the path and text of every value sealed with it.
        added: further data keys of people who may seal, but not open.
    """

    kms: str
    kid: str
    data: str
    mac: str
    added: tuple["Block", ...] = ()

    def with_mac(self, mac: str) -> "Block":
        """Return the same key with another MAC."""
        return replace(self, mac=mac)

    def as_mapping(self) -> dict[str, object]:
        """Return the block as the file has it."""
        made: dict[str, object] = {key: getattr(self, key) for key in _BLOCK_KEYS}
        if self.added:
            made["added"] = [block.as_mapping() for block in self.added]
        return made


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration file, read and without a fault in its structure.

    Attributes:
        document: its text and values.
        stages: by name, in the file's order.
        tree: the values below `config`.
        seals: the data keys by stage; empty in an open file and in Fleece's form.
        app: the name of the application in KMS's encryption context.
        is_sealed: whether new secrets are sealed (`format: 2`), not written as Fleece did.
        secrets: the marked text of every secret, with the stage whose key it is under.
    """

    document: Document
    stages: dict[str, Stage]
    tree: dict[Step, object]
    seals: dict[str, Block]
    app: str
    is_sealed: bool
    secrets: dict[Path, tuple[str, Stage]] = field(repr=False)

    def stage(self, name: str) -> Stage:
        """Return the entry of `stages` for a stage's name.

        Raises:
            ConfigurationError: none matches, or two do.
        """
        try:
            found = choose(self.stages, name)
        except Ambiguous as error:
            raise ConfigurationError(
                f"the stage `{name}` is not clear", str(error), "write the stage out by its name"
            ) from None
        if found is None:
            raise ConfigurationError(
                f"there is no stage `{name}` in `{self.document.source}`",
                f"it has {', '.join(f'`{known}`' for known in self.stages)}",
                "name one of them, or add it to `stages`",
            )
        return self.stages[found]

    @property
    def content(self) -> dict[str, Any]:
        """What the file says, without `format` and `seal`."""
        tree: Any = self.document.tree
        return {key: value for key, value in tree.items() if key not in {"format", "seal"}}

    def fault(self, path: Path, detail: str) -> Fault:
        """Return a fault at a path below `config`: file, line and key path."""
        return self.document.fault(("config", *path), detail, show(path) or "config")


def parse_config(data: bytes | str, source: str) -> Config:
    """Return the configuration in a text, open or closed.

    Raises:
        ConfigurationError: exit 3, with every fault, each with file, line and key path.
    """
    document = parse_document(data, source)
    reader = _Reader(document)
    config = reader.read()
    if reader.faults or config is None:
        raise faulty(source, reader.faults)
    return config


def faulty(source: str, faults: list[Fault], hint: str = "correct them, then try again") -> ConfigurationError:
    """Return the error that lists the faults of a file."""
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    listed = "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in faults)
    return ConfigurationError(f"`{source}` has {count}", listed.lstrip("\n"), hint, faults)


def literal(text: str) -> str:
    """Return the value of a text that is not a secret: `::encrypt:x` is the literal `:encrypt:x`."""
    return text[1:] if _ESCAPED.match(text) else text


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document, self.faults = document, list[Fault]()
        self.stages: dict[str, Stage] = {}
        self.seals: dict[str, Block] = {}
        self.secrets: dict[Path, tuple[str, Stage]] = {}
        self.chosen: dict[str, Stage | None] = {}

    def _fault(self, path: Path, detail: str) -> None:
        shown = path[1:] if path[:1] == ("config",) and len(path) > 1 else path
        self.faults.append(self.document.fault(path, detail, show(shown) or "the file"))

    def read(self) -> Config | None:
        tree = self.document.tree
        if not isinstance(tree, dict):
            self._fault((), "must be a mapping with `stages` and `config`")
            return None
        form = tree.get("format", 1)
        if not isinstance(form, int) or isinstance(form, bool) or form not in {1, 2}:
            self._fault(("format",), "is not a format that this version knows (1 and 2)")
        app = tree.get("app", "carboy")
        if not isinstance(app, str) or not app:
            self._fault(("app",), "must be text")
        self._read_stages(tree.get("stages"))
        self._read_seals(tree.get("seal", {}), form == 2)
        values = tree.get("config", self)
        if values is self:
            self._fault((), "has no `config`")
        elif values is None:
            values = {}
        if isinstance(values, dict):
            if is_selection(values):
                self._fault(("config",), "must not choose by stage at its top")
            self._read_values(values, ("config",), None)
            return Config(self.document, self.stages, values, self.seals, str(app), form == 2, self.secrets)
        if values is not self:
            self._fault(("config",), "must be a mapping")
        return None

    def _read_stages(self, found: object) -> None:
        if not isinstance(found, dict) or not found:
            self._fault(("stages",), "`stages` must name at least one stage, with `environment` and `key`")
            return
        for name, entry in found.items():
            path: Path = ("stages", name)
            if not isinstance(name, str) or not name:
                self._fault(path, "a stage's name must be text; put it in quotes")
                continue
            self._check_expression(path, name)
            parts = {part: entry.get(part) if isinstance(entry, dict) else None for part in ("environment", "key")}
            for part, value in parts.items():
                if not isinstance(value, str) or not value:
                    self._fault(path, f"the stage `{name}` has no `{part}`")
            self.stages[name] = Stage(name, str(parts["environment"]), str(parts["key"]))

    def _check_expression(self, path: Path, name: str) -> None:
        try:
            expression(name)
        except ValueError as error:
            self._fault(path, f"is not a regular expression: {error}")

    def _read_seals(self, found: object, is_sealed: bool) -> None:
        if not isinstance(found, dict) or (found and not is_sealed):
            self._fault(("seal",), "`seal` must be a mapping by stage, in a file of `format: 2`")
            return
        for name, entry in found.items():
            path: Path = ("seal", name)
            if name not in self.stages:
                self._fault(path, f"is sealed for the stage `{name}`, which `stages` does not have")
                continue
            block = self._read_block(entry, path)
            added = entry.get("added", []) if isinstance(entry, dict) else []
            if not isinstance(added, list):
                self._fault((*path, "added"), "must be a list")
                continue
            others = [self._read_block(item, (*path, "added", Index(index))) for index, item in enumerate(added)]
            if block and all(others):
                self.seals[str(name)] = replace(block, added=tuple(other for other in others if other))

    def _read_block(self, entry: object, path: Path) -> Block | None:
        if not isinstance(entry, dict):
            self._fault(path, "must be a mapping with `kms`, `kid`, `data` and `mac`")
            return None
        parts = {key: value for key in _BLOCK_KEYS if isinstance(value := entry.get(key), str) and value}
        if "data" in parts and not _is_base64(parts["data"]):
            del parts["data"]
        for key in _BLOCK_KEYS:
            if key not in parts:
                self._fault(path, f"`{key}` is missing or cannot be read")
        return (
            Block(parts["kms"], parts["kid"], parts["data"], parts["mac"]) if len(parts) == len(_BLOCK_KEYS) else None
        )

    def _read_values(self, node: Any, path: Path, stage: str | None) -> None:
        if isinstance(node, dict):
            if is_selection(node):
                self._check_selection(node, path)
            for key, value in node.items():
                if isinstance(key, str) and key.startswith(ENCRYPT):
                    self._fault(path, f"a key begins with `{ENCRYPT}`: keys are never encrypted")
                inner = key[1:] if isinstance(key, str) and key.startswith("+") else stage
                self._read_values(value, (*path, key), inner)
        elif isinstance(node, list):
            for index, value in enumerate(node):
                self._read_values(value, (*path, Index(index)), stage)
        elif isinstance(node, str) and node.startswith(_MARKS):
            self._read_secret(node, path, stage)

    def _check_selection(self, node: dict[Step, object], path: Path) -> None:
        plain = [key for key in node if not (isinstance(key, str) and key.startswith("+"))]
        if plain:
            mixed = ", ".join(f"`{key}`" for key in node)
            self._fault(path, f"mixes keys of stages (`+…`) with others: {mixed}")
        for key in node:
            if isinstance(key, str) and key.startswith("+"):
                if key == "+":
                    self._fault((*path, key), "`+` names no stage")
                self._check_expression((*path, key), key[1:])

    def _read_secret(self, text: str, path: Path, selector: str | None) -> None:
        if selector is None:
            self._fault(path, "a secret must be under a stage (`+prod: …`)")
            return
        if selector not in self.chosen:
            try:
                self.chosen[selector] = self.stages.get(choose(self.stages, selector) or "")
            except (Ambiguous, ValueError) as error:
                self.chosen[selector] = None
                self._fault(path, str(error))
                return
        stage = self.chosen[selector]
        if stage is None:
            if self.stages:
                self._fault(path, f"no entry of `stages` gives the key of `+{selector}`")
            return
        mark = next(mark for mark in _MARKS if text.startswith(mark))
        if mark != ENCRYPT and not _is_base64(text[len(mark) :]):
            self._fault(path, f"what follows `{mark}` is not base64: it was cut or changed")
            return
        self.secrets[path[1:]] = (text, stage)


def _is_base64(text: str) -> bool:
    try:
        return bool(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


# What a stage sees


def pick(config: Config, stage: str) -> tuple[object, list[Path], list[Fault]]:
    """Return what a stage sees, its secrets still closed, with their paths, and every place that has no value for it.

    The secrets are left in the values as their `Path` in the file.
    """
    secrets: list[Path] = []
    faults: list[Fault] = []

    def see(node: Any, path: Path) -> object:
        if isinstance(node, dict):
            if not is_selection(node):
                return {key: see(value, (*path, key)) for key, value in node.items()}
            key = _choose_value(node, path)
            return see(node[key], (*path, key)) if key is not None else None
        if isinstance(node, list):
            return [see(value, (*path, Index(index))) for index, value in enumerate(node)]
        if isinstance(node, str) and node.startswith(":"):
            if path in config.secrets:
                secrets.append(path)
                return path
            return literal(node)
        return node

    def _choose_value(node: dict[str, object], path: Path) -> str | None:
        try:
            found = choose((key[1:] for key in node), stage)
        except Ambiguous as error:
            faults.append(config.fault(path, str(error)))
            return None
        if found is None:
            offered = ", ".join(f"`{key}`" for key in node)
            faults.append(config.fault(path, f"has no value for the stage `{stage}` (only for {offered})"))
            return None
        return "+" + found

    return see(config.tree, ()), secrets, faults


def unresolved(config: Config) -> list[Fault]:
    """Return the places where a stage that the file names finds no value, or two."""
    names = [name for name in config.stages if not expression(name)]
    names += [name for name in _selected(config.tree) if not expression(name)]
    found: dict[Fault, None] = {}
    for name in dict.fromkeys(names):
        try:
            if choose(config.stages, name) is None:
                continue
        except Ambiguous as error:
            found[Fault(config.document.source, str(error))] = None
            continue
        found.update(dict.fromkeys(pick(config, name)[2]))
    return list(found)


def _selected(node: object) -> Iterator[str]:
    """Give the stages that selectors name, some of them several times."""
    for path, _ in leaves(node):
        yield from (step[1:] for step in path if isinstance(step, str) and step.startswith("+"))


def seal_mapping(seals: Mapping[str, Block]) -> dict[str, object]:
    """Return the `seal` part of a file."""
    return {name: block.as_mapping() for name, block in seals.items()}
