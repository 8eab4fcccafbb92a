"""Run by the tests as a program: make an example's application, ask it things, and print what was found as JSON.

python probe.py examples/parts/health.py '{"TRACE": "xray"}' '[["GET", "/livez"]]'
"""

import json
import logging
import runpy
import sys
import time
from typing import Any

HEAVY = ("alembic", "boto3", "jsonschema_rs", "obstore", "opentelemetry", "requests", "sqlalchemy", "yaml")


def main(path: str, config: str, asked: str) -> None:
    """Print one document: what the application is like, and its answers."""
    app = runpy.run_path(path)["create_app"](**json.loads(config))
    client = app.test_client()
    greeted = client.get("/hello")
    missing = client.get("/nothing")
    found: dict[str, Any] = {
        "hello": greeted.status_code,
        "request id": "X-Request-Id" in greeted.headers,
        "problem": missing.content_type == "application/problem+json",
        "limit": app.config["MAX_CONTENT_LENGTH"],
        "routes": sorted(rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("carboy")),
        "config": sorted({"APP", "DATABASE_URL", "LOG_LEVEL"} & set(app.config)),
        "own secret key": app.config["SECRET_KEY"] == "their own",
        "own logging": [type(handler).__name__ for handler in logging.root.handlers] == ["StreamHandler"]
        and type(logging.root.handlers[0].formatter) is logging.Formatter,
        "heavy": sorted(name for name in HEAVY if name in sys.modules),
    }
    answers: list[dict[str, Any]] = []
    key = ""
    for method, url, *headers in json.loads(asked):
        if method == "KEY":
            _, key = app.extensions["carboy"].keys.store.create("ann", [url])
            continue
        if method == "WORK":
            answers.append({"jobs": _work(app)})
            continue
        sent = {name: value.replace("{key}", key) for name, value in dict(*headers).items()}
        body = b"x" * int(sent.pop("Size", "0"))
        answer = client.open(url, method=method, headers=sent, data=body)
        answers.append({"status": answer.status_code, "text": answer.text, "json": answer.get_json(silent=True)})
    sys.stdout.write(json.dumps({"found": found, "answers": answers}) + "\n")
    app.extensions["carboy"].close()


def _work(app: Any) -> list[str]:
    """Have the jobs that wait done, and return the states of all."""
    jobs = app.extensions["carboy"].jobs
    jobs.engine.start()
    give_up_at_s = time.monotonic() + 30
    while any(row["state"] not in {"done", "dead"} for row in jobs.store.stats()) and time.monotonic() < give_up_at_s:
        time.sleep(0.02)
    return [row["state"] for row in jobs.store.stats()]


if __name__ == "__main__":
    main(*sys.argv[1:])
