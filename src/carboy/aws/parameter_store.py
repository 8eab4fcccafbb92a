"""Parameters of AWS Systems Manager: cached one by one, fetched in tens, and found by path.

How they are kept is left to `refreshing`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carboy.aws.batching import Client, in_batches
from carboy.aws.swr_cache import Refreshing
from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.errors import CarboyError, Missing, Refused, UpstreamError
from carboy.redact import register_secret

__all__ = ["ParameterCache"]

_BATCH = 10  # GetParameters takes no more, and GetParametersByPath gives no more


class ParameterCache:
    """Cache of decrypted parameters with a TTL: a cached read takes no lock and makes no call.

    Args:
        client: boto3's of `ssm`; None for one with the process's own session and short time-outs.
        ttl_s: how long a parameter is fresh; then it is renewed in the background.
        min_interval_s: the least time between two fetches of one parameter.
        clock: tells the age of parameters.
    """

    def __init__(
        self, client: object = None, *, ttl_s: float = 300.0, min_interval_s: float = 5.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._client = Client("ssm", client)
        self._values: Refreshing[str, str] = Refreshing(
            self._fetch, ttl_s=ttl_s, min_interval_s=min_interval_s, clock=clock, what="parameter"
        )
        self._kept, self._now = self._values.kept, self._values.now

    def get(self, name: str) -> str:
        """Return a parameter; of a StringList its text with commas.

        Args:
            name: or ARN; with `:version` or `:label` where that is wanted.

        Raises:
            Missing: there is no such parameter.
            Refused: we may not read it.
            Throttled: AWS asks to come back later, and nothing is kept.
            Unreachable: AWS is away, and nothing is kept.
        """
        try:
            value, until_s = self._kept[name]
            if self._now() < until_s:
                return value
        except KeyError:
            pass
        return self._values.value(name)

    def get_many(self, names: Iterable[str], *, renew: bool = False) -> dict[str, str | CarboyError]:
        """Return for each name the parameter or the error; what is not cached is fetched in tens, in parallel.

        Args:
            names: or ARNs.
            renew: fetch the kept ones too, but for those that were fetched just now.
        """
        return self._values.values(names, renew=renew)

    def refresh(self, name: str, *, unless: str | None = None, timeout_s: float | None = None) -> str:
        """Fetch a parameter again and return it: always, or at most once for all who saw the same value.

        Args:
            name: of the parameter.
            unless: the value that the caller saw: a kept one that differs, or was fetched within `min_interval_s`, is
                returned as it is. None to fetch in any case.
            timeout_s: how long to wait for AWS; None for the client's own time-outs.

        Raises:
            UpstreamError: as `get`, where nothing is kept.
        """
        is_old = None if unless is None else lambda kept: kept == unless
        return self._values.refresh(name, is_old, timeout_s=timeout_s)

    def clear_cache(self, name: str | None = None) -> None:
        """Forget a parameter, or all of them: the next `get` fetches it."""
        self._values.clear(None if name is None else [name])

    def below(self, prefix: str) -> dict[str, str]:
        """Return everything below a path, by its full name; asked of AWS each time.

        Args:
            prefix: such as `/dev_flask/`.

        Raises:
            UpstreamError: AWS said no, or nothing.
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
        """Return what one call gives; nothing where a name spoils it for the others."""
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
    """Return a parameter's value; what is kept encrypted is masked from now on wherever it appears."""
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
