"""The resident memory of a server under full load for ten minutes: every alert accepted and archived meanwhile."""

import os
import time
from pathlib import Path

from tests.lab.load import load_process

from benchmarks.gateway import gateway

SECONDS = int(os.environ.get("BENCH_SECONDS", "600"))
CONNECTIONS = 32
LOOKS = 20
IS_LONG = True


def run() -> None:
    print(f"{CONNECTIONS} connections for {SECONDS} s; the server's processes together.")
    print(f"{'after s':>10}{'resident MB':>14}")
    seen: list[float] = []
    with gateway() as server:
        arguments = ["--target", "/api/v1/s3/alert", "--header", server.header, "--connections", str(CONNECTIONS)]
        with load_process(server.url, *arguments, "--seconds", str(SECONDS)) as load:
            for look in range(1, LOOKS + 1):
                time.sleep(SECONDS / LOOKS)
                seen.append(_resident_mb(server.pid))
                print(f"{SECONDS * look // LOOKS:10}{seen[-1]:14.1f}", flush=True)
            summary, _ = load.finish()
    print(f"\n{summary['statuses']} at {summary['rate_per_s']:.0f} a second.")
    first, last = seen[LOOKS // 4 : LOOKS // 2], seen[-LOOKS // 4 :]
    print(f"The last quarter against the second: {sum(last) / len(last) / (sum(first) / len(first)):.3f} (aim: 1).")


def _resident_mb(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in [str(pid), *children])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
