"""Find the function of an operation, and the names under which it takes its arguments.

Source: Connexion 2.14, "Routing" and "Request handling".
"""

import builtins
import importlib
import inspect
import keyword
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

_UNFIT = re.compile(r"[^0-9a-zA-Z_]")
_BRACKET = re.compile(r"\[(?!])")
_HEAD = re.compile(r"^[^a-zA-Z_]+")
_ACRONYM = re.compile(r"([A-Z]+)([A-Z][a-z])")
_CAMEL = re.compile(r"([a-z\d])([A-Z])")


class Signature(NamedTuple):
    """What a function takes.

    Attributes:
        names: what it takes by name.
        required: those of them that have no default.
        takes_any: it has `**kwargs`.
    """

    names: frozenset[str]
    required: frozenset[str]
    takes_any: bool

    def takes(self, name: str) -> bool:
        """Say whether it can be called with an argument of this name."""
        return self.takes_any or name in self.names


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return what a function takes; one that cannot be inspected takes anything."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Signature(frozenset(), frozenset(), takes_any=True)
    named = [one for one in parameters if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}]
    return Signature(
        frozenset(one.name for one in named),
        frozenset(one.name for one in named if one.default is one.empty),
        any(one.kind is one.VAR_KEYWORD for one in parameters),
    )


def import_function(name: str) -> Callable[..., Any]:
    """Import a function by its dotted name, as Connexion does: `package.module.object.function`.

    Raises:
        ValueError: the operation cannot be found; the message says why.
    """
    module_name, _, attribute = name.rpartition(".")
    attributes = [attribute]
    while module_name:
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name + ".").startswith(error.name + "."):
                raise ValueError(f"`{name}` cannot be imported: {error}") from error
            module_name, _, attribute = module_name.rpartition(".")
            attributes.insert(0, attribute)
            continue
        except ImportError as error:
            raise ValueError(f"`{name}` cannot be imported: {error}") from error
        for part in attributes:
            if not hasattr(found, part):
                raise ValueError(f"`{name}` is not there: `{part}` is missing")
            found = getattr(found, part)
        return _callable(found, name)
    raise ValueError(f"`{name}` names no module that can be imported")


def find_in(operations: Any, operation_id: str) -> tuple[str, Callable[..., Any]]:
    """Return the key or attribute of an object that an operationId names, and what is there.

    The id is tried as it is, then in snake case: `listPets` is the method `listPets` or `list_pets`.

    Raises:
        ValueError: the operation cannot be found; the message says why.
    """
    for name in dict.fromkeys((operation_id, snake(operation_id))):
        if isinstance(operations, Mapping):
            if name in operations:
                return name, _callable(operations[name], name)
            continue
        found = operations
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return name.split(".", 1)[0], _callable(found, name)
    kind = "mapping" if isinstance(operations, Mapping) else f"`{_kind_of(operations)}`"
    raise ValueError(f"the operations' {kind} has no `{operation_id}`, nor `{snake(operation_id)}`")


def public_names(operations: Any) -> Iterator[str]:
    """Yield the operations that an object offers: its keys, its functions, or its class's public methods."""
    if isinstance(operations, Mapping):
        yield from operations
    elif isinstance(operations, ModuleType):
        for name, value in vars(operations).items():
            if inspect.isfunction(value) and value.__module__ == operations.__name__ and not name.startswith("_"):
                yield name
    else:
        kind = operations if isinstance(operations, type) else type(operations)
        for name, _ in inspect.getmembers(kind, inspect.isroutine):
            if not name.startswith("_") and not hasattr(object, name):
                yield name


@lru_cache(maxsize=1024)
def argument_names(name: str, *, is_pythonic: bool) -> tuple[str, ...]:
    """Return the names under which a parameter may be an argument, the preferred one first."""
    plain = _sanitised(name)
    pythonic = _sanitised(_unshadowed(snake(name)))
    words = (pythonic, plain) if is_pythonic else (plain, pythonic, snake(name))
    if not name.isascii():
        words = (unicodedata.normalize("NFKC", name), *words)  # as Python reads its own names
    return tuple(dict.fromkeys(word for word in words if word.isidentifier()))


def synchronous(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function, unless it is asynchronous: views call it and send what it returns.

    Raises:
        ValueError: it is an `async def`.
    """
    for call in (function, getattr(function, "__call__", None)):  # noqa: B004  # the method, not whether there is one
        if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
            raise ValueError(f"`{name}` is an `async def`; operations are synchronous: write it without `async`")
    return function


def choose(names: Iterable[str], signature: Signature) -> str | None:
    """Return the first name that a function takes; None when it takes none."""
    names = tuple(names)
    explicit = next((name for name in names if name in signature.names), None)
    return explicit or (names[0] if names and signature.takes_any else None)


def snake(name: str) -> str:
    """Return a name in snake case: `listPets` and `list-pets` become `list_pets`."""
    name = _ACRONYM.sub(r"\1_\2", name)
    return _CAMEL.sub(r"\1_\2", name).replace("-", "_").lower()


def _unshadowed(name: str) -> str:
    return name + "_" if hasattr(builtins, name) or keyword.iskeyword(name) else name


def _sanitised(name: str) -> str:
    return _HEAD.sub("", _UNFIT.sub("", _BRACKET.sub("_", name)))


def _callable(found: Any, name: str) -> Callable[..., Any]:
    if not callable(found):
        raise ValueError(f"`{name}` cannot be called")  # a fault of the document, as any other
    return synchronous(found, name)


def _kind_of(operations: Any) -> str:
    return operations.__name__ if isinstance(operations, ModuleType | type) else type(operations).__name__
