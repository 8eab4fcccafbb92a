"""What checking a request by its OpenAPI document adds to a plain Flask request, against the peers.

Each peer runs in a virtual environment of its own, made once.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import peers
from benchmarks.api_worker import DOCUMENT

WORKER = Path(__file__).with_name("api_worker.py")
PEERS = {
    "connexion 2.15": "connexion==2.15.*",
    "connexion 3": "connexion[flask]>=3,<4",
    "openapi-core": "openapi-core[flask]",
    "flask-smorest": "flask-smorest",
}


def run() -> None:
    print("One POST with a path and a query parameter and a JSON body of five fields; the least of many rounds.")
    print(f"{'':26}{'request':>12}{'plain Flask':>14}{'adds':>12}")
    added = {}
    for name in ("flask, reading by hand", "carboy.api"):
        added[name] = _report(name, Path(sys.executable))
    for name, requirement in PEERS.items():
        python = peers.environment_or_none(name.replace(" ", "-"), requirement)
        added[name] = None if python is None else _report(name, python)
    ours = added["carboy.api"]
    if ours:
        ratios = [f"{name} {peer / ours:.0f}" for name, peer in added.items() if peer and name in PEERS]
        print(f"As multiples of what carboy.api adds: {', '.join(ratios) or 'no peer could be measured'}.")
    _report_start()


def _report(name: str, python: Path) -> float | None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [python, "-P", WORKER, name], capture_output=True, text=True, cwd=WORKER.parent, env=environ, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        print(f"{name:26}could not be measured: {reason[:90]}")
        return None
    times = json.loads(done.stdout.splitlines()[-1])
    added = times["subject"] - times["plain"]
    print(f"{name:26}{times['subject']:9.1f} µs{times['plain']:11.1f} µs{added:9.1f} µs")
    return float(added)


_START = """
import sys, time
import flask
started = time.perf_counter()
from carboy import api
document = api.load_document(sys.argv[1], cache_dir=sys.argv[2] or None)
operations = {f"op{index}": (lambda **arguments: arguments) for index in range(20)}
api.blueprint(document, operations)
print((time.perf_counter() - started) * 1e3)
"""


def _report_start() -> None:
    """Say what a document of twenty operations adds to the start of a process that has imported Flask."""
    operation = DOCUMENT["paths"]["/people/{person}"]["post"]
    paths = {f"/people{i}/{{person}}": {"post": {**operation, "operationId": f"op{i}"}} for i in range(20)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "document.yaml")
        file.write_text(json.dumps({**DOCUMENT, "paths": paths}, indent=1).replace("{", "{ ", 1))
        file.write_text("# YAML\n" + file.read_text())
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = str(Path(folder, "bytecode"))

        def start(cache: str) -> float:
            command = [sys.executable, "-c", _START, str(file), cache]
            return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout)

        def flask_import() -> float:
            code = "import time; s = time.perf_counter(); import flask; print((time.perf_counter() - s) * 1e3)"
            return float(
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
                ).stdout
            )

        cache = str(Path(folder, "cache"))
        start(cache), flask_import()
        ways = partial(start, ""), partial(start, cache), flask_import
        cold, warm, base = (min(way() for _ in range(5)) for way in ways)
    print(f"Start with 20 operations, after Flask's own import of {base:.0f} ms:")
    print(f"  {cold:6.1f} ms reading and checking the document, {warm:6.1f} ms from the cache on disk")


if __name__ == "__main__":
    started = time.perf_counter()
    run()
    print(f"({time.perf_counter() - started:.0f} s)")
