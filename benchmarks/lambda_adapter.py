"""What a Lambda adapter adds to a call, for each kind of event: Carboy's against two peers.

The application does nothing; its own call is subtracted. Aims: 8 µs for REST v1, 5 for HTTP v2, 6 for ALB, on a machine
where apig-wsgi adds 10, 8 and 11; so the ratios to aim at are 0.80, 0.63 and 0.55.
"""

import asyncio
import sys
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.peers import environment, site_packages
from carboy.serve import lambda_handler
from carboy.testing import events

BODY = [b"{}"]
HEADERS = [("Content-Type", "application/json"), ("Content-Length", "2")]
CLIENT = [
    ("Accept", "text/html,application/xhtml+xml"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept-Language", "en-US,en;q=0.8"),
    ("Cache-Control", "max-age=0"),
    ("User-Agent", "Mozilla/5.0"),
]
EVENTS: dict[str, Any] = {
    "REST v1": events.rest_v1("GET", "/orders/7?q=1", headers=CLIENT),
    "HTTP v2": events.http_v2("GET", "/orders/7?q=1", headers=CLIENT),
    "ALB": events.alb("GET", "/orders/7?q=1", headers=CLIENT),
}
AIMS = {"REST v1": 0.80, "HTTP v2": 0.63, "ALB": 0.55}


def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", HEADERS)
    return BODY


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


def peers() -> dict[str, Callable[[Any, Any], Any]]:
    """Return the handlers to compare, by name."""
    packages = ("apig-wsgi", "serverless-wsgi", "awsgi2", "mangum")
    sys.path.append(site_packages(environment("lambda-adapters", *packages)))
    import awsgi2
    import serverless_wsgi
    from apig_wsgi import make_lambda_handler
    from mangum import Mangum

    asyncio.set_event_loop(asyncio.new_event_loop())
    return {
        "carboy": lambda_handler(application),
        "apig-wsgi": make_lambda_handler(application),
        "serverless-wsgi": lambda event, context: serverless_wsgi.handle_request(application, event, context),
        "awsgi2": lambda event, context: awsgi2.response(application, event, context),
        "mangum (ASGI)": Mangum(asgi, lifespan="off"),
    }


def run() -> None:
    """Print what each adds, in microseconds, and the ratio to apig-wsgi."""
    context = events.LambdaContext(timeout_s=900)
    calls: dict[tuple[str, str], Callable[[], Any]] = {
        (name, kind): partial(handler, event, context)
        for name, handler in peers().items()
        for kind, event in EVENTS.items()
    }
    best = {key: float("inf") for key in calls}
    bare = float("inf")
    for _ in range(40):  # interleaved: what else the machine does hits all alike
        bare = min(bare, timeit.timeit(lambda: application({}, print_nothing), number=500) / 500)
        for key, call in calls.items():
            best[key] = min(best[key], timeit.timeit(call, number=300) / 300)
    print(f"{'adapter':18}" + "".join(f"{kind:>20}" for kind in EVENTS))
    for name in dict.fromkeys(name for name, _ in calls):
        cells = []
        for kind in EVENTS:
            added = best[name, kind] - bare
            ratio = added / (best["apig-wsgi", kind] - bare)
            cells.append(f"{added * 1e6:9.1f} µs  {ratio:5.2f}  ")
        print(f"{name:18}" + "".join(f"{cell:>20}" for cell in cells))
    print(f"{'aim':18}" + "".join(f"{AIMS[kind]:18.2f}  " for kind in EVENTS))


def print_nothing(*_: Any) -> None:
    """Stand for `start_response`."""


if __name__ == "__main__":
    run()
