"""What an HTTP call out costs: Carboy's, with limits, request id and retries, against requests.

The server is a process of its own on loopback; each contender asks in turns, in one process, the median of its calls
of the best turn counting.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

AIM_OF_GET = 0.75
TURNS, CALLS = 9, 400

SERVER = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=512)
print(listener.getsockname()[1], flush=True)
answer = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}"

def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while connection.recv(65536):
            connection.sendall(answer)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def run() -> None:
    """Print the microseconds of a call, and each contender's part of `requests.get`."""
    import requests

    from carboy import logs, net

    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/orders"
    kept, ours = requests.Session(), net.Session()
    contenders: dict[str, Callable[[], object]] = {
        "requests.get": lambda: requests.get(url, timeout=(5, 30)),
        "requests, a kept session": lambda: kept.get(url, timeout=(5, 30)),
        "carboy.net.get": lambda: net.get(url),
        "carboy.net, a session": lambda: ours.get(url),
    }
    best: dict[str, float] = {}
    try:
        with logs.request_context(request_id="7f3a9c1e7f3a9c1e7f3a9c1e7f3a9c1e"):
            for _ in range(TURNS):
                for name, call in contenders.items():
                    best[name] = min(_median_us(call), best.get(name, float("inf")))
    finally:
        server.kill()
        server.wait()
    theirs = best["requests.get"]
    print(f"{'one GET on loopback':<30} {'µs':>7}  {'of get':>7}")
    for name, taken_us in best.items():
        print(f"{name:<30} {taken_us:>7.0f}  {taken_us / theirs:>6.2f}×")
    part = best["carboy.net.get"] / theirs
    print(f"\naim: at most {AIM_OF_GET:g} of requests.get: {'kept' if part <= AIM_OF_GET else 'missed'} ({part:.2f})")


def _median_us(call: Callable[[], object]) -> float:
    taken: list[float] = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


if __name__ == "__main__":
    run()
