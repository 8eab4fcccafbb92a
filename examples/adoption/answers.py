"""Print what an application answers, for `run.py`: run in its folder, with `FLASK_APP` set."""

import json
import logging
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib import import_module
from pathlib import Path

from flask.cli import ScriptInfo

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
OURS = ("/livez", "/readyz", "/metrics", "/docs", "/openapi", "/api/jobs")
CHANGING = re.compile(r"csrf_token[^>]*>|nonce[^>]*>|\d\d:\d\d:\d\d[.\d]*|0x[0-9a-f]+|[0-9a-f]{16,}|\d{10,}")
MODULE = """
from flask.cli import ScriptInfo
app = ScriptInfo(app_import_path={path!r}).load_app()
@app.get("/raises-for-a-trial")
def fail():
    raise ZeroDivisionError("for a trial")
"""


def main(first: str) -> None:
    """Print a document: path and `Accept` → status, type, the body without what changes."""
    logging.disable(logging.CRITICAL)
    app = ScriptInfo(app_import_path=os.environ["FLASK_APP"]).load_app()
    if first:
        module, _, function = first.partition(":")
        with app.app_context():
            getattr(import_module(module), function)()
    paths = sorted({rule.rule for rule in app.url_map.iter_rules() if not rule.arguments and "GET" in rule.methods})
    found = {}
    for path in [*(path for path in paths if not path.startswith(OURS)), "/there-is-no-such-page"]:
        accept = BROWSER  # who asks an application for a page
        try:
            answer = app.test_client().get(path, headers={"Accept": accept})
            body = CHANGING.sub("", answer.get_data(as_text=True))[:5000]
            found[path] = [answer.status_code, answer.mimetype, answer.get_json() if answer.is_json else body]
        except Exception as error:  # noqa: BLE001 (what it raises is what is compared)
            found[path] = [type(error).__name__]
    print(json.dumps(found))


def debugger() -> None:
    """Serve the application with `flask run --debug` and say whether a view that raises shows the debugger."""
    from carboy.testing.ports import free_port

    port = free_port()
    Path("trial_of_debugger.py").write_text(MODULE.format(path=os.environ["FLASK_APP"]), "utf-8")
    command = [sys.executable, "-m", "flask", "--app", "trial_of_debugger:app", "run", "--debug", "--no-reload"]
    environ = {key: value for key, value in os.environ.items() if key != "FLASK_APP"}
    with open("trial.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen([*command, "--port", str(port)], env=environ, stdout=log, stderr=log)
        try:
            print(ask(f"http://127.0.0.1:{port}/raises-for-a-trial"))
        finally:
            process.terminate()
            process.wait(10)


def ask(url: str) -> str:
    """Return `ok` where the page is werkzeug's debugger."""
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=10)  # noqa: S310 (its own loopback)
        except urllib.error.HTTPError as error:
            page = error.read().decode("utf-8", "replace")
            return "ok" if "ZeroDivisionError" in page and "EVALEX" in page else f"{error.code} {page[:40]!r}"
        except OSError:
            time.sleep(0.1)
    return "it does not serve"


if __name__ == "__main__":
    sys.path.insert(0, "")
    debugger() if sys.argv[1:] == ["--debugger"] else main(sys.argv[1])
