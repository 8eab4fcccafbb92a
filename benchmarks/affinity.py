"""What a process that stays on one CPU gains: `WORKER_CPU_AFFINITY=auto`."""

from benchmarks.accept import measure

ROUNDS = 2


def run() -> None:
    print("One process, 32 connections; each beside the same with WORKER_CPU_AFFINITY=auto.")
    print(f"{'':34}{'answers/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>8}")
    views = {
        "an empty Flask view": ("/", ("--app", "benchmarks.bare:create_app"), {}),
        "a webhook, accepted": ("/api/v1/s3/alert", (), {"JOBS_CONCURRENCY": "0"}),
    }
    for _ in range(ROUNDS):
        for name, (target, arguments, environ) in views.items():
            off = measure(name, target, *arguments, environ=environ)
            measure("  on one CPU", target, *arguments, floor=off, environ={**environ, "WORKER_CPU_AFFINITY": "auto"})
