"""Durable 202s per second, against the same server answering an empty Flask view."""

from tests.lab.load import load_process

from benchmarks.gateway import gateway

SECONDS = 8
CONNECTIONS = 32
ROUNDS = 3


def run() -> None:
    print(f"One process, {CONNECTIONS} connections, {SECONDS} s each, {ROUNDS} rounds in turn; every 202 was fsynced.")
    print(f"{'':34}{'answers/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>8}")
    ratios = []
    for _ in range(ROUNDS):
        floor = measure("an empty Flask view", "/", "--app", "benchmarks.bare:create_app")
        ratios.append(
            measure("a webhook, accepted", "/api/v1/s3/alert", floor=floor, environ={"JOBS_CONCURRENCY": "0"}) / floor
        )
        measure("the same, archived meanwhile", "/api/v1/s3/alert", floor=floor)
    print(f"\nAccepted, as a part of the floor: {sorted(ratios)[len(ratios) // 2]:.2f} (the median; aim: 0.6).")


def measure(
    name: str, target: str, *arguments: str, floor: float | None = None, environ: dict[str, str] | None = None
) -> float:
    with gateway(*arguments, environ=environ) as server:
        headers = ["--header", server.header] if target != "/" else []
        limits = ["--connections", str(CONNECTIONS), "--seconds"]
        with load_process(server.url, "--target", target, *headers, *limits, "1") as warm:
            warm.finish()
        options = ["--start-ms", "1800000000000"]
        with load_process(server.url, "--target", target, *headers, *limits, str(SECONDS), *options) as load:
            summary, _ = load.finish()
    if set(summary["statuses"]) != {"202"}:
        raise RuntimeError(f"not every answer was 202: {summary['statuses']} {summary['errors']}")
    rate, times = float(summary["rate_per_s"]), summary["latencies_ms"]
    ratio = f"{rate / floor:8.2f}" if floor else f"{1:8.2f}"
    print(f"{name:34}{rate:12.0f}{times['p50']:10.1f}{times['p99']:10.1f}{ratio}", flush=True)
    return rate
