"""Run a stand-in in this process, or in one of its own, so that load does not share the interpreter under test."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from tests.lab.fake_server import CONTROL_PATH, StandIn, StandInProcess, serve_until_stopped, start_process
from tests.lab.sms_providers import aliyun, aws, huawei, tencent, twilio
from tests.lab.sms_providers.control import Control, Refusal, Sent, State

from carboy.testing.answers import Answer, Cut, Request, Stall, Step, json_answer
from carboy.testing.ports import HOST

__all__ = ["KINDS", "SmsProvider", "SmsProviderProcess", "sms_provider_process"]


@dataclass(frozen=True, slots=True)
class _Kind:
    answer: Callable[[Request, State, float], Answer]
    refuse: Callable[[Refusal], Answer]
    receipt: Callable[..., tuple[str, bytes]] | None
    faults: Mapping[str, str]
    asks_balance: Callable[[Request], bool] = lambda request: False


KINDS = {
    "aliyun": _Kind(aliyun.answer, aliyun.refuse, aliyun.receipt, aliyun.FAULTS),
    "aws": _Kind(aws.answer, aws.refuse, aws.receipt, aws.FAULTS),
    "huawei": _Kind(huawei.answer, huawei.refuse, huawei.receipt, huawei.FAULTS),
    "sns": _Kind(aws.answer_sns, aws.refuse_sns, None, aws.SNS_FAULTS),
    "tencent": _Kind(tencent.answer, tencent.refuse, tencent.receipt, tencent.FAULTS, tencent.asks_balance),
    "twilio": _Kind(twilio.answer, twilio.refuse, twilio.receipt, twilio.FAULTS, twilio.asks_balance),
}
"""The providers that have a stand-in."""


class SmsProvider(StandIn):
    """A stand-in on a free port of loopback; use it as a context manager.

    Attributes:
        kind: its provider: a name of `KINDS`.
        state: its state, to read and to change.
    """

    def __init__(self, kind: str, *, wall_s: Callable[[], float] = time.time, **control: Any) -> None:
        super().__init__()
        self.kind = kind
        self.state: State = State(Control())
        self.state.tell(**control)
        self._kind, self._wall_s = KINDS[kind], wall_s

    @property
    def url(self) -> str:
        """Return its address, such as `http://127.0.0.1:8123`."""
        return self._server.url

    @property
    def sent(self) -> list[Sent]:
        """Return every message that was sent."""
        return self.state.sent

    def tell(self, **changes: Any) -> None:
        """Change how it behaves from now on; the fields of `Control`."""
        self.state.tell(**changes)

    def receipt(self, sent: Sent, *, delivered: bool = True) -> tuple[str, bytes]:
        """Return the content type and body of its report on a message."""
        assert self._kind.receipt is not None
        return self._kind.receipt(sent, delivered=delivered)

    def _answer(self, request: Request) -> Step:
        if request.path == CONTROL_PATH:
            return self._control(request)
        if self._kind.asks_balance(request):
            return self._answer_balance(request)
        self.state.targets.append(request.target)
        fault = self.state.fault()
        latency_s = self.state.control.latency_s
        self.state.calls[fault or "answered"] += 1
        if fault == "error":
            return Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}, latency_s)
        try:
            if fault is not None and fault in self._kind.faults:
                raise Refusal(self._kind.faults[fault], status=self.state.control.status)
            answer = self._kind.answer(request, self.state, self._wall_s())
        except Refusal as error:
            self.state.calls[f"refused: {error.code}"] += 1
            error.status = error.status or self.state.control.status
            refused, after = self._kind.refuse(error), self.state.control.retry_after
            headers = {**refused.headers, "Retry-After": after} if after else refused.headers
            return replace(refused, delay_s=latency_s, headers=headers)
        match fault:
            case "stall":
                return Stall("start", answer)
            case "cut":
                return Cut("start", answer)
            case "reset":
                return Cut("headers", answer, reset=True)
            case "late":
                return replace(answer, delay_s=self.state.control.late_s)
        return replace(answer, delay_s=latency_s)

    def _answer_balance(self, request: Request) -> Answer:
        """Return what is left of the account; such calls are not counted, and fail while any fault lasts."""
        if self.state.control.fault is not None:
            return Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})
        try:
            return self._kind.answer(request, self.state, self._wall_s())
        except Refusal as error:
            return self._kind.refuse(error)

    def _control(self, request: Request) -> Answer:
        if request.method == "POST":
            try:
                self.state.tell(**request.json())
            except (TypeError, ValueError, AttributeError) as error:
                return json_answer({"error": str(error)}, 400)
        return json_answer({"sent": [asdict(one) for one in self.state.sent], "calls": self.state.calls})


class SmsProviderProcess(StandInProcess):
    """A fake server in a separate process, controlled and queried over its control path."""

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://{HOST}:{self.port}"

    def tell(self, **changes: Any) -> None:
        """Change how it behaves from now on; the fields of `Control`."""
        self._ask("POST", json.dumps(changes).encode())

    @property
    def sent(self) -> list[Sent]:
        """Return every message that was sent."""
        return [Sent(**one) for one in self._ask("GET")["sent"]]


@contextmanager
def sms_provider_process(kind: str, **control: Any) -> Iterator[SmsProviderProcess]:
    """Run a stand-in in a process of its own for the length of the block.

    Args:
        kind: a name of `KINDS`.
        control: fields of `Control`.
    """
    start = f"from {__name__} import main; main()"  # the package has imported this module: `-m` would warn of that
    command = [sys.executable, "-c", start, kind, "--control", json.dumps(control)]
    with start_process(command) as started:
        yield SmsProviderProcess(*started)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line on stdout is a JSON object with `port` and `url`."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.sms_providers.server", description=main.__doc__)
    parser.add_argument("kind", choices=sorted(KINDS), help="whom to stand in for")
    parser.add_argument("--control", default="{}", help="fields of Control, as a JSON object")
    options = parser.parse_args(arguments)
    with SmsProvider(options.kind, **json.loads(options.control)) as server:
        serve_until_stopped(server, {"url": server.url})


if __name__ == "__main__":
    main()
