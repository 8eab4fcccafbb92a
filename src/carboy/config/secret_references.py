"""Values that point elsewhere: `file:/run/secrets/stripe`, `aws-secretsmanager:/prod/db#password`.

References are found at any depth of the merged values and resolved in batches, one call per scheme. The value of
a reference is not resolved again: otherwise one writable secret could make this process read files.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from carboy.config.files import read_secret_file
from carboy.errors import CarboyError, Fault

_REFERENCE = re.compile(r"(optional:)?(aws-secretsmanager|aws-parameterstore|file):(?!//)(.*)", re.DOTALL)


class Reference(NamedTuple):
    """A pointer to a value.

    Attributes:
        scheme: `file`, `aws-secretsmanager` or `aws-parameterstore`.
        name: the path or name there.
        field: the field of a JSON secret, after `#`; empty for the whole value.
        is_optional: whether its absence is allowed (`optional:` before it).
    """

    scheme: str
    name: str
    field: str = ""
    is_optional: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}" + (f"#{self.field}" if self.field else "")


class Resolver(Protocol):
    """Looks up the references of one scheme."""

    def resolve(self, references: Sequence[Reference]) -> Mapping[Reference, str | CarboyError | None]:
        """Return for each reference its value, the error, or None where it does not exist."""
        ...


class FileResolver:
    """References to files, as Docker and Kubernetes mount secrets.

    Args:
        folder: where relative paths start: the project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def resolve(self, references: Sequence[Reference]) -> Mapping[Reference, str | CarboyError | None]:
        """Return the text of each file, without the line break at its end."""
        return {reference: self._read(reference) for reference in references}

    def _read(self, reference: Reference) -> str | CarboyError | None:
        try:
            return read_secret_file(self._folder / reference.name)
        except CarboyError as error:
            return None if isinstance(error.__cause__, FileNotFoundError) else error


def parse_reference(value: object) -> Reference | None:
    """Return the reference that a value is; None for any other value (`file://…` is a URL, not a reference)."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    optional, scheme, rest = found.groups()
    name, _, field = rest.partition("#") if scheme != "file" else (rest, "", "")
    return Reference(scheme, name, field, is_optional=bool(optional))


def find_references(value: Any) -> Iterator[Reference]:
    """Yield the references in a value, at any depth of tables and lists."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from find_references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from find_references(item)
    elif (reference := parse_reference(value)) is not None:
        yield reference


def resolve(
    values: Mapping[str, Any], resolvers: Mapping[str, Resolver]
) -> tuple[dict[str, Any], dict[str, tuple[Reference, ...]], list[Fault]]:
    """Return the values with every reference replaced, which references each name used, and all that failed.

    An optional reference whose target is absent becomes None; at the top level the name is left out, so that its
    default counts.
    """
    resolved = dict(values)
    faults: list[Fault] = []
    used = {name: found for name, value in values.items() if (found := tuple(find_references(value)))}
    answers = _ask({one for found in used.values() for one in found}, resolvers)
    for name, found in used.items():
        broken = [Fault(name, _why(one, answers[one])) for one in found if not _is_usable(one, answers[one])]
        faults += broken
        if broken:
            del resolved[name]
        else:
            resolved[name] = _replace(resolved[name], answers, top=True)
    return {name: value for name, value in resolved.items() if value is not _ABSENT}, used, faults


_ABSENT: Any = object()


def _ask(wanted: set[Reference], resolvers: Mapping[str, Resolver]) -> dict[Reference, str | CarboyError | None]:
    answers: dict[Reference, str | CarboyError | None] = {}
    nothing = CarboyError("a reference", "nothing stands behind the colon", "name the secret, parameter or file")
    answers |= {one: nothing for one in wanted if not one.name.strip()}
    wanted = wanted - answers.keys()
    for scheme in sorted({one.scheme for one in wanted}):
        batch = sorted((one for one in wanted if one.scheme == scheme), key=str)
        resolver = resolvers.get(scheme)
        answers.update(
            resolver.resolve(batch)
            if resolver
            else dict.fromkeys(batch, CarboyError(scheme, f"nothing here resolves `{scheme}:`", ""))
        )
    return answers


def _is_usable(reference: Reference, answer: str | CarboyError | None) -> bool:
    return isinstance(answer, str) or (answer is None and reference.is_optional)


def _why(reference: Reference, answer: object) -> str:
    if answer is None:
        return f"`{reference}` is not there; put `optional:` before it if that is not a fault"
    why, hint = (answer.why, answer.hint) if isinstance(answer, CarboyError) else (str(answer), "")
    return f"`{reference}`: {why}" + (f" ({hint})" if hint else "")


def _replace(value: Any, answers: Mapping[Reference, Any], *, top: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace(item, answers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(item, answers) for item in value]
    reference = parse_reference(value)
    if reference is None:
        return value
    answer = answers[reference]
    return _ABSENT if answer is None and top else answer
