"""Parameters of AWS Systems Manager: cached one by one, fetched in tens, and found by path.

Caching itself is left to `swr_cache`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carboy.aws.batching import Client, in_batches
from carboy.aws.swr_cache import SwrCache
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, Missing, Refused, UpstreamError
from carboy.redact import register_secret

_BATCH = 10  # GetParameters takes no more, and GetParametersByPath gives no more


class ParameterCache:
    """Cache of decrypted parameters with a TTL: a cached read takes no lock and makes no call.

    Args:
        client: boto3's of `ssm`; None for one with the process's own session and short timeouts.
        ttl_s: how long a parameter is fresh; then it is refreshed in the background.
        min_interval_s: the least time between two fetches of one parameter.
        clock: measures the age of parameters.
    """

    def __init__(
        self, client: object = None, *, ttl_s: float = 300.0, min_interval_s: float = 5.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._client = Client("ssm", client)
        self._values: SwrCache[str, str] = SwrCache(
            self._fetch, ttl_s=ttl_s, min_interval_s=min_interval_s, clock=clock, what="parameter"
        )
        self._cached, self._now = self._values.cached, self._values.now

    def get(self, name: str) -> str:
        """Return a parameter; a StringList as text with commas.

        Args:
            name: or ARN; with `:version` or `:label` where that is wanted.

        Raises:
            Missing: the parameter does not exist.
            Refused: we may not read it.
            Throttled: AWS throttles the call, and nothing is cached.
            Unreachable: AWS is unavailable, and nothing is cached.
        """
        try:
            value, until_s = self._cached[name]
            if self._now() < until_s:
                return value
        except KeyError:
            pass
        return self._values.value(name)

    def get_many(self, names: Iterable[str], *, renew: bool = False) -> dict[str, str | CarboyError]:
        """Return for each name the parameter or the error; what is not cached is fetched in tens, in parallel.

        Args:
            names: or ARNs.
            renew: fetch cached ones too, except those fetched within `min_interval_s`.
        """
        return self._values.values(names, renew=renew)

    def refresh(self, name: str, *, unless: str | None = None, timeout_s: float | None = None) -> str:
        """Fetch a parameter again and return it: always, or at most once for all callers that saw the same value.

        Args:
            name: of the parameter.
            unless: the value that the caller saw: a cached one that differs, or was fetched within `min_interval_s`, is
                returned as it is. None to fetch in any case.
            timeout_s: how long to wait for AWS; None for the client's own timeouts.

        Raises:
            UpstreamError: as `get`, where nothing is cached.
        """
        is_old = None if unless is None else lambda cached: cached == unless
        return self._values.refresh(name, is_old, timeout_s=timeout_s)

    def clear_cache(self, name: str | None = None) -> None:
        """Remove a parameter, or all of them, from the cache: the next `get` fetches it."""
        self._values.clear(None if name is None else [name])

    def below(self, prefix: str) -> dict[str, str]:
        """Return every parameter below a path, by its full name; fetched each time.

        Args:
            prefix: such as `/dev_flask/`.

        Raises:
            UpstreamError: AWS refused, or did not answer.
        """
        found: dict[str, str] = {}
        more: dict[str, str] = {}
        while True:
            page = self._client.call(
                "get_parameters_by_path",
                Path=prefix.rstrip("/") or "/",
                Recursive=True,
                WithDecryption=True,
                MaxResults=_BATCH,
                **more,
            )
            found |= {one["Name"]: _value(one) for one in page["Parameters"]}
            if not page.get("NextToken"):  # an empty page with a token is not the end
                return found
            more = {"NextToken": page["NextToken"]}

    def _fetch(self, names: Sequence[str]) -> dict[str, str | CarboyError]:
        found = in_batches(self._batch, names, _BATCH)
        alone = [name for name in names if name not in found]
        return found | in_batches(self._batch, alone, 1)

    def _batch(self, names: Sequence[str]) -> dict[str, str | CarboyError]:
        """Return the parameters of one call; nothing where one of several names makes AWS refuse it."""
        try:
            page = self._client.call("get_parameters", Names=list(names), WithDecryption=True)
        except Refused as error:
            return {} if len(names) > 1 else {names[0]: error}
        except UpstreamError as error:
            return dict.fromkeys(names, error)
        found: dict[str, str | CarboyError] = {}
        for one in page["Parameters"]:
            for name in {one["Name"], one.get("ARN"), one["Name"] + one.get("Selector", "")}.intersection(names):
                found[name] = _value(one)
        return found | {name: _missing(name) for name in names if name not in found}


def _value(parameter: Mapping[str, Any]) -> str:
    """Return a parameter's value; a SecureString is masked from now on in logs."""
    value = str(parameter["Value"])
    if parameter.get("Type") == "SecureString":
        register_secret(value)
    return value


def _missing(name: str) -> Missing:
    return Missing(
        f"AWS did not do ssm:GetParameters on `{name}`",
        f"`{name}` is not there (ParameterNotFound)",
        f"check the name `{name}`, the region and the account",
    )
