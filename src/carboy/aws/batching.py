"""Call one client from many threads and processes, and many names at once."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from carboy.aws.clients import client as shared_client
from carboy.aws.explain import action_of, explain, resource_of

__all__ = ["Client", "each", "in_batches"]

_THREADS = 10
K = TypeVar("K")
V = TypeVar("V")


class Client:
    """A client whose errors explain themselves, and which a forked child can go on using.

    Args:
        service: such as `ssm`.
        given: boto3's client; None for the process's own, made when it is first needed.
    """

    def __init__(self, service: str, given: Any = None) -> None:
        self._service, self._given = service, given
        self._pid = os.getpid()

    def call(self, operation: str, **params: Any) -> Any:
        """Return the answer of an operation, by boto3's name of it.

        Raises:
            UpstreamError: AWS said no, or nothing.
        """
        if self._given is not None and self._pid != os.getpid():
            with suppress(Exception):
                self._given.close()  # its open connections are the parent's
            self._pid = os.getpid()
        client = self._given if self._given is not None else shared_client(self._service)
        try:
            return getattr(client, operation)(**params)
        except Exception as error:
            if not type(error).__module__.startswith(("botocore", "carboy")):
                raise
            name = "".join(part.capitalize() for part in operation.split("_"))
            raise explain(error, action_of(self._service, name), resource_of(params)) from error


def each(ask: Callable[[K], V], keys: Sequence[K]) -> dict[K, V]:
    """Return what each key is answered, asked for side by side."""
    if len(keys) < 2:
        return {key: ask(key) for key in keys}
    with ThreadPoolExecutor(min(len(keys), _THREADS)) as pool:
        return dict(zip(keys, pool.map(ask, keys), strict=True))


def in_batches(ask: Callable[[Sequence[K]], Mapping[K, V]], keys: Iterable[K], size: int) -> dict[K, V]:
    """Return what the keys are answered in batches, asked for side by side."""
    keys = list(keys)
    batches = [tuple(keys[at : at + size]) for at in range(0, len(keys), size)]
    return {key: answer for answers in each(ask, batches).values() for key, answer in answers.items()}
