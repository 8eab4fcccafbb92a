"""What a traced call costs, sent and not sampled: Carboy's against common libraries.

The peers are installed into an environment of their own, and every contender, ours too, is measured there: each in a
process of its own, in turns, the best of its turns counting. All send to a listener on loopback, a process of its own
that reads nothing; the OpenTelemetry SDK only fills its queue. The call's own time, a few hundredths of a microsecond,
is in all of them.
"""

import os
import subprocess
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    "aws-xray-sdk>=2.14",
    "aws-lambda-powertools[tracer]>=3.20",
    "opentelemetry-sdk>=1.36",
    "structlog>=25.4",
    "orjson>=3.11",
]
TURNS, NUMBER, REPEAT = 5, 2000, 10
AIM_SENT_US, AIM_SKIPPED_US = 8.0, 0.5

LISTENER = """
import socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""

Call = Callable[[], object]


def _work(order: int) -> int:
    return order


def _carboy(address: str, sampled: bool, skip_args: bool = True) -> Call:
    from carboy import trace

    trace.setup("xray", daemon_address=address, sampler=lambda: sampled)
    trace.span("request").enter()
    traced = trace.trace(skip_args=skip_args)(_work)
    return lambda: traced(7)


def _carboy_with_arguments(address: str, sampled: bool) -> Call:
    return _carboy(address, sampled, skip_args=False)


def _carboy_off(_address: str, _sampled: bool) -> Call:
    from carboy import trace

    traced = trace.trace()(_work)
    return lambda: traced(7)


def _xray_sdk(address: str, sampled: bool) -> Call:
    from aws_xray_sdk.core import xray_recorder

    xray_recorder.configure(service="orders", daemon_address=address, sampling=False, streaming_threshold=1)
    segment = xray_recorder.begin_segment("request")
    segment.sampled = sampled
    traced = xray_recorder.capture("work")(_work)
    return lambda: traced(7)


def _powertools(address: str, sampled: bool) -> Call:
    os.environ["POWERTOOLS_SERVICE_NAME"] = "orders"
    from aws_lambda_powertools import Tracer
    from aws_xray_sdk.core import xray_recorder

    tracer = Tracer(service="orders", auto_patch=False, disabled=False)
    xray_recorder.configure(service="orders", daemon_address=address, sampling=False, streaming_threshold=1)
    segment = xray_recorder.begin_segment("request")
    segment.sampled = sampled
    traced = tracer.capture_method(capture_response=False)(_work)
    return lambda: traced(7)


def _opentelemetry(_address: str, sampled: bool) -> Call:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("orders")
    traced = tracer.start_as_current_span("work")(_work)
    return lambda: traced(7)


CONTENDERS: dict[str, Callable[[str, bool], Call]] = {
    "carboy": _carboy,
    "carboy, with its arguments": _carboy_with_arguments,
    "carboy, TRACE=off": _carboy_off,
    "aws-xray-sdk": _xray_sdk,
    "aws-lambda-powertools": _powertools,
    "opentelemetry-sdk, not exported": _opentelemetry,
}


def measure(name: str, address: str, sampled: bool) -> float:
    """Return the microseconds of one call, in this process."""
    call = CONTENDERS[name](address, sampled)
    return min(timeit.repeat(call, number=NUMBER, repeat=REPEAT)) / NUMBER * 1e6


def run() -> None:
    """Print the microseconds of a traced call, and each peer's as a multiple of Carboy's."""
    from benchmarks import peers  # not for those who run this file in an environment of their own

    python = peers.environment_or_none("trace", *PACKAGES)
    names = [name for name in CONTENDERS if python is not None or "carboy" in name]
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout is not None
    address = f"127.0.0.1:{int(listener.stdout.readline())}"
    best: dict[tuple[str, bool], float] = {}
    try:
        for _ in range(TURNS):
            for name in names:
                for sampled in (True, False):
                    taken_us = _measure_apart(python or Path(sys.executable), name, address, sampled)
                    if taken_us is not None:
                        best[name, sampled] = min(taken_us, best.get((name, sampled), taken_us))
    finally:
        listener.communicate()
    _print(names, best)


def _measure_apart(python: Path, name: str, address: str, sampled: bool) -> float | None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), "-P", str(Path(__file__).resolve()), name, address, str(int(sampled))]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return float(done.stdout.split()[-1])


def _print(names: list[str], best: dict[tuple[str, bool], float]) -> None:
    print(f"\n{'one traced call':<34} {'sent, µs':>9}  {'of ours':>8}  {'not sampled, µs':>16}")
    ours, skipped = best["carboy", True], best["carboy", False]
    for name in names:
        if (name, True) in best and (name, False) in best:
            sent = best[name, True]
            print(f"{name:<34} {sent:>9.2f}  {sent / ours:>7.2f}×  {best[name, False]:>16.2f}")
    print(f"\naim: at most {AIM_SENT_US:g} µs sent: {'kept' if ours <= AIM_SENT_US else 'missed'} ({ours:.2f})")
    kept = "kept" if skipped <= AIM_SKIPPED_US else "missed"
    print(f"aim: at most {AIM_SKIPPED_US:g} µs not sampled: {kept} ({skipped:.2f})")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1], sys.argv[2], sys.argv[3] == "1"))
    else:
        run()
