"""A fake Threat Stack API, versions 1 and 2, that fails in every known way on request.

`ThreatStack` runs in this process; `python -m tests.lab.threat_stack` and `threat_stack_process` run it in one of
its own, so that load does not share the interpreter under test. What it answers is decided in `threat_stack_api`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tests.lab.fake_server import CONTROL_PATH, StandIn, StandInProcess, serve_until_stopped, start_process
from tests.lab.threat_stack_api import Control, ThreatStackApi

from carboy.testing.answers import Answer, Request, Step, json_answer
from carboy.testing.ports import HOST

__all__ = ["ThreatStack", "ThreatStackProcess", "threat_stack_process"]


class _Addresses:
    """The two base addresses that a client is given."""

    port: int

    @property
    def base_url(self) -> str:
        """Return the address of version 1: `THREATSTACK_BASE_URL`."""
        return f"http://{HOST}:{self.port}/api/v1"

    @property
    def base_url_v2(self) -> str:
        """Return the address of version 2."""
        return f"http://{HOST}:{self.port}/v2"


class ThreatStack(StandIn, _Addresses):
    """The stand-in on a free port of loopback; use it as a context manager.

    Attributes:
        api: its responses, to be read and changed directly; see `ThreatStackApi`.
    """

    def __init__(self, api: ThreatStackApi | None = None, *, port: int = 0) -> None:
        """Make the stand-in; `port=0` is any free one, kept over `stop` and `start`."""
        super().__init__(port=port)
        self.api: ThreatStackApi = api or ThreatStackApi()

    @property
    def calls(self) -> dict[str, int]:
        """Return how often each alert id was asked for."""
        return dict(self.api.calls)

    def tell(self, **changes: Any) -> None:
        """Change how it behaves from now on; the fields of `Control`."""
        self.api.tell(**changes)

    def _answer(self, request: Request) -> Step:
        if request.path == CONTROL_PATH:
            return self._control(request)
        return self.api.answer(request)

    def _control(self, request: Request) -> Answer:
        if request.method == "POST":
            try:
                changes = request.json()
                if changes.pop("forget", False):
                    self.api.forget()
                if alerts := changes.pop("add_alerts", None):
                    self.api.add_alerts(**alerts)
                self.api.tell(**changes)
            except (TypeError, ValueError, AttributeError) as error:
                return json_answer({"error": str(error)}, 400)
        return json_answer(
            {
                "control": asdict(self.api.control),
                "alerts": [alert_id for _, alert_id in self.api.alerts],
                "calls": self.api.calls,
                "statuses": self.api.statuses,
                "connections": self.connections,
            }
        )


class ThreatStackProcess(StandInProcess, _Addresses):
    """A fake Threat Stack API in a separate process, controlled and queried over its control path."""

    def tell(self, **changes: Any) -> dict[str, Any]:
        """Change how it behaves from now on and return its report.

        Args:
            changes: the fields of `Control`; also `forget=True`, and `add_alerts` with the arguments of that method.
        """
        return self._ask("POST", json.dumps(changes).encode())

    def report(self) -> dict[str, Any]:
        """Return its `control`, the listed `alerts`, the `calls` per alert id, the `statuses`, the `connections`."""
        return self._ask("GET")


@contextmanager
def threat_stack_process(*arguments: str) -> Iterator[ThreatStackProcess]:
    """Run the stand-in in a process of its own for the length of the block.

    Args:
        arguments: of the command line, such as `--latency-ms`, `50`.
    """
    command = [sys.executable, "-m", __name__, "--port", "0", *arguments]
    with start_process(command) as started:
        yield ThreatStackProcess(*started)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line on stdout is a JSON object with `port`, `v1` and `v2`."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.threat_stack", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) is any free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long each answer takes (0)")
    parser.add_argument("--api-key", default=Control().api_key, help="the key that it accepts (%(default)s)")
    parser.add_argument("--rate-per-s", type=float, default=0.0, help="answer 429 above this rate (0: any rate)")
    options = parser.parse_args(arguments)
    control = Control(latency_s=options.latency_ms / 1000, api_key=options.api_key, rate_per_s=options.rate_per_s)
    with ThreatStack(ThreatStackApi(control), port=options.port) as server:
        serve_until_stopped(server, {"v1": server.base_url, "v2": server.base_url_v2})


if __name__ == "__main__":
    main()
