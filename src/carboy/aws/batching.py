"""Call one boto3 client from many threads and processes, and fetch many names in parallel."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from carboy.aws.clients import client as shared_client
from carboy.aws.explain import action_of, explained, resource_of

_THREADS = 10
K = TypeVar("K")
V = TypeVar("V")


class Client:
    """A boto3 client that raises `UpstreamError`s and that a forked child can go on using.

    Args:
        service: such as `ssm`.
        given: boto3's client; None for the process's own, made when it is first needed.
    """

    def __init__(self, service: str, given: Any = None) -> None:
        self._service, self._given = service, given
        self._pid = os.getpid()

    def call(self, operation: str, **params: Any) -> Any:
        """Return the response to an operation, by boto3's name of it.

        Raises:
            UpstreamError: AWS refused, or did not answer.
        """
        if self._given is not None and self._pid != os.getpid():
            with suppress(Exception):
                self._given.close()  # its open connections are the parent's
            self._pid = os.getpid()
        client = self._given if self._given is not None else shared_client(self._service)
        name = "".join(part.capitalize() for part in operation.split("_"))
        with explained(action_of(self._service, name), resource_of(params)):
            return getattr(client, operation)(**params)


def each(ask: Callable[[K], V], keys: Sequence[K]) -> dict[K, V]:
    """Return the result for each key, fetched in parallel."""
    if len(keys) < 2:
        return {key: ask(key) for key in keys}
    with ThreadPoolExecutor(min(len(keys), _THREADS)) as pool:
        return dict(zip(keys, pool.map(ask, keys), strict=True))


def in_batches(ask: Callable[[Sequence[K]], Mapping[K, V]], keys: Iterable[K], size: int) -> dict[K, V]:
    """Return the result for each key, fetched by parallel calls of `size` keys."""
    keys = list(keys)
    batches = [tuple(keys[at : at + size]) for at in range(0, len(keys), size)]
    return {key: answer for answers in each(ask, batches).values() for key, answer in answers.items()}
