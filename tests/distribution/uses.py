"""What each extra is for, done as its page of the documentation has it; run in an environment that has nothing else.

python uses.py EXTRA: ends with 0 when it works. `AWS_ENDPOINT_URL` says where a stand-in of AWS listens.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import zipfile
from importlib import import_module
from pathlib import Path
from urllib.request import urlopen

from carboy.errors import MissingExtra

PARTS = Path(__file__).parents[2] / "examples" / "parts"
CARBOY = str(Path(sys.executable).with_name("carboy"))
APP = "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get('/')\ndef hello():\n    return 'hello'\n"


def part(name: str) -> None:
    """Make the application of an example that has one part alone, and be greeted by it."""
    app = runpy.run_path(str(PARTS / f"{name}.py"))["create_app"]()
    assert app.test_client().get("/hello").status_code == 200, name
    app.extensions["carboy"].close()


def first_block(page: str) -> str:
    """Return the first Python that a page prints."""
    text = (PARTS.parents[1] / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


def carboy(*words: str, said: str | None = None, code: int = 0) -> str:
    """Return what the command prints."""
    done = subprocess.run([CARBOY, *words], input=said, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def missing(module: str, attribute: str) -> str:
    """Return how to get what an import finds to be missing."""
    try:
        if getattr(import_module(module), attribute, None) is None:
            import_module(f"{module}.{attribute}")
    except MissingExtra as error:
        return error.hint
    return "it is there"


def the_core() -> None:
    """The parts that need no extra; what does need one says which."""
    for name in ("settings", "logs", "request_ids", "problems", "limits", "health", "trace"):
        part(name)
    assert "pip install 'carboy[config]'" in carboy("config", "import", said="a: b", code=3)
    for name in ("db.Model", "jobs.put", "logs.GunicornLogger", "net.Session", "services.sms"):
        module, _, attribute = f"carboy.{name}".rpartition(".")
        hint = missing(module, attribute)
        assert hint.startswith("pip install 'carboy["), f"{name}: {hint}"
    assert "pip install 'carboy[serve]'" in carboy("serve", "--port", "0", code=3)
    assert "for the built-in gateway: pip install 'carboy[archive,sms]'" in carboy("keys", "list", code=3)


def api() -> None:
    part("docs")


def aws() -> None:
    """A secret, and a parameter."""
    from carboy.aws import SecretCache, client

    client("secretsmanager").create_secret(Name="/prod/ftp", SecretString=json.dumps({"password": "open"}))
    assert SecretCache(ttl_s=300).get("/prod/ftp")["password"] == "open"


def build() -> None:
    """A zip of a project with what it needs."""
    Path("app.py").write_text(APP)
    Path("requirements.txt").write_text("click")
    carboy("build", ".", "--python", f"{sys.version_info.major}.{sys.version_info.minor}")
    with zipfile.ZipFile("dist/lambda_function.zip") as zipped:
        assert {"app.py", "click/__init__.py"} <= set(zipped.namelist())


def celery() -> None:
    """A job that waits for no broker, as a row and as a task of Celery's."""
    Path("shop.py").write_text(first_block("run-jobs-on-celery"))
    os.environ["FLASK_APP"] = "shop:app"
    from carboy.celery_app import app

    assert "mail.welcome" in app.tasks


def config() -> None:
    """A closed file without a secret, there and back."""
    open_form = "stages:\n  prod: {environment: prod, key: alias/prod}\nconfig:\n  foo: bar\n"
    Path("environments.yml").write_text("environments:\n- {name: prod, account: '123456789012'}\n")
    carboy("config", "import", said=open_form)
    carboy("config", "check", "--offline")
    assert "foo: bar" in carboy("config", "export")


def db() -> None:
    """Models of one's own, keys, the table of migrations."""
    part("db")
    part("keys")
    Path("shop.py").write_text("import carboy\n" + APP + "\ncarboy.init_app(app, parts=['db'])\n")
    carboy("--app", "shop:app", "db", "upgrade")


def jobs() -> None:
    part("jobs")


def net() -> None:
    Path("page.py").write_text(first_block("http-out"))
    runpy.run_path("page.py")


def trace() -> None:
    """Spans to a receiver of OpenTelemetry's protocol."""
    from carboy import trace as traces

    otlp_receiver = runpy.run_path(str(Path(__file__).parents[1] / "lab" / "otlp.py"))["otlp_receiver"]
    with otlp_receiver() as receiver:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
        traces.setup("otlp", service="orders")
        tracer = traces.active_tracer()
        assert tracer is not None
        with traces.span("nightly report"):
            pass
        tracer.flush()
        assert [one["name"] for one in receiver.wait_for(1)] == ["nightly report"]
        traces.reset()


def serve() -> None:
    """The web server, with an application that knows nothing of Carboy."""
    Path("shop.py").write_text(APP)
    _served("gunicorn", "--app", "shop:app", path="/")


def archive() -> None:
    """An alert is kept in a folder."""
    body = json.loads((PARTS.parent / "threatstack-alert.json").read_text("utf-8"))
    _accepts("archive", "/api/v1/s3/alert", "archive:write", body, "instance/archive")


def sms() -> None:
    """A text goes to the outbox."""
    body = {"receivers": "+4915112345678", "template": "captcha", "params": {"code": "1234"}}
    _accepts("sms", "/api/sms", "sms:send", body, "instance/sms-outbox.jsonl")


def all_of_it() -> None:
    """The built-in gateway."""
    _served("gunicorn", path="/readyz")


def _accepts(service: str, path: str, scope: str, body: object, leads_to: str) -> None:
    """Send to a service, with a key, and wait for what comes of it."""
    import carboy as package

    app = package.create_app("local", modules=[f"carboy.services.{service}"])
    held = app.extensions["carboy"]
    _, key = held.keys.store.create("ann", [scope])
    answer = app.test_client().post(path, json=body, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 202, answer.text
    held.jobs.engine.start()
    give_up_at_s = time.monotonic() + 30
    while not Path(leads_to).exists() and time.monotonic() < give_up_at_s:
        time.sleep(0.02)
    assert Path(leads_to).exists()
    held.close()


def _served(server: str, *words: str, path: str) -> None:
    command = [CARBOY, "serve", "--port", "0", "--server", server, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if "serving on " in line:
                    break
            assert said, "nothing was said"
            url = said[-1].partition("serving on ")[2].split(" ")[0]
            assert url, said
            for line in process.stderr:
                if "Ctrl-C stops" in line:
                    break
            with urlopen(url + path, timeout=30) as answer:  # noqa: S310 (on loopback)
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, server
        finally:
            process.kill()


def asgi() -> None:
    """An ASGI application behind the Lambda entry."""
    assert import_module("mangum").Mangum


def console() -> None:
    """What the console's languages and single sign-on stand on."""
    assert import_module("carboy.web.console.languages").LANGUAGES
    assert import_module("authlib").__version__


def metrics() -> None:
    part("metrics")


def testing() -> None:
    """Certificates for servers of tests."""
    from carboy.testing import make_ca

    assert callable(make_ca)


USES = {"nothing": the_core, "all": all_of_it}


if __name__ == "__main__":
    (USES.get(sys.argv[1]) or globals()[sys.argv[1]])()
