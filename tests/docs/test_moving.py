"""The projects of the moving guides: what comes after answers as what was before did.

`before` runs here where it is Flask alone. Chalice and Powertools want a process of their own versions, so theirs are
only read; `docs/how-to` says which.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MOVING = Path(__file__).parents[2] / "examples" / "moving"
pytestmark = pytest.mark.docs


def run(project: str, code: str, folder: Path, **settings: str) -> object:
    """Return what a program in a project's folder prints as its last line of JSON."""
    environment = {"INSTANCE_PATH": str(folder), "FLASK_PROFILE": "test", "LOG_LEVEL": "ERROR", **settings}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "FLASK_"))}
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys; sys.path.insert(0, '')\n{code}"],
        cwd=MOVING / project,
        env={**kept, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


EVENTS = """
from carboy.testing.events import LambdaContext, http_v2, schedule, sqs
def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    return handler(http_v2(method, path, body=data, headers=[("content-type", "application/json")]), LambdaContext())
"""


def test_a_service_of_zappas_answers_as_before(tmp_path: Path) -> None:
    """The same route, setting, schedule and queue; of a batch only the message that failed comes back."""
    before = run(
        "zappa/before",
        "from app import app\nprint(json.dumps(app.test_client().get('/orders/7').get_json()))",
        tmp_path,
        GREETING="good day",
    )
    after = run(
        "zappa/after",
        f"""{EVENTS}
from app import shipped
from handler import handler
answer = call("GET", "/orders/7")
failed = handler(sqs('{{"number": 1}}', "broken", '{{"number": 3}}', queue="orders"), LambdaContext())
seen = list(shipped)
handler(schedule("nightly"), LambdaContext())
print(json.dumps([json.loads(answer["body"]), seen, len(failed["batchItemFailures"]), list(shipped)]))""",
        tmp_path,
        GREETING="good day",
    )

    assert before == {"number": 7, "greeting": "good day", "stage": ""}
    assert after == [{"number": 7, "greeting": "good day", "stage": "$default"}, [1, 3], 1, []]


@pytest.mark.parametrize("project", ["chalice", "powertools"])
def test_a_service_of_another_framework_has_a_double(project: str, tmp_path: Path) -> None:
    """Placing, showing, missing, and the queue."""
    answers = run(
        f"{project}/after",
        f"""{EVENTS}
from app import handler, orders
placed = call("POST", "/orders", {{"item": "tea"}})
shown = call("GET", "/orders/1")
missing = call("GET", "/orders/2")
failed = handler(sqs("1", "x", queue="orders"), LambdaContext())
left = len(failed["batchItemFailures"])
print(json.dumps([placed["statusCode"], json.loads(shown["body"]), missing["statusCode"], orders, left]))""",
        tmp_path,
    )
    before = ast.parse((MOVING / project / "before" / "app.py").read_text("utf-8"))
    after = ast.parse((MOVING / project / "after" / "app.py").read_text("utf-8"))

    assert answers == [201 if project == "powertools" else 200, {"number": 1, "item": "tea"}, 404, {}, 1]
    names = [{one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)} for tree in (before, after)]
    assert {"place", "show", "ship"} <= names[0] & names[1]


def test_a_skeleton_keeps_its_routes_and_its_setting(tmp_path: Path) -> None:
    """What was copied around is gone; an error has a request id now, and health is asked elsewhere."""
    ask = "client = create_app().test_client()\nanswers = [client.get(path) for path in ('/orders', '/nowhere')]\n"
    tell = "print(json.dumps([answers[0].get_json(), answers[1].status_code, sorted(answers[1].get_json())]))"
    make = "from app import create_app, db\n"
    tables = "app = create_app()\nwith app.app_context(): db.create_all()\n"

    before = run("skeleton/before", make + ask + tell, tmp_path)
    after = run("skeleton/after", make + tables + ask + tell, tmp_path, AUTH="off")

    assert before == [{"orders": [], "size": 20}, 404, ["error"]]
    assert after == [
        {"orders": [], "size": 20},
        404,
        ["detail", "instance", "request_id", "status", "success", "title", "type"],
    ]


def test_a_client_of_the_tutorials_sms_service_needs_a_key_and_nothing_else(tmp_path: Path) -> None:
    """The same body; 202 where it was 200, because it will be sent even if the process ends."""
    body = {"receivers": "+8613800000000", "template": "captcha", "params": {"code": "1234"}}
    ask = f"answer = create_app().test_client().post('/api/sms', json={body!r})\n"
    tell = "print(json.dumps([answer.status_code, answer.get_json()['message']]))"

    before = run("sms/before", "from app import create_app\n" + ask + tell, tmp_path)
    after = run("sms/after", "from carboy import create_app\n" + ask + tell, tmp_path, AUTH="off")

    assert before == [200, "send"]
    assert after == [202, "accepted"]


def test_a_document_and_its_operations_move_from_connexion_untouched(tmp_path: Path) -> None:
    """Only the entry is another; what breaks the document is 400, as it was."""
    answers = run(
        "connexion",
        """
from after import app
client = app.test_client()
paths = ["/v1/orders/7", "/v1/orders/7?currency=USD", "/v1/orders/7?currency=GBP", "/v1/orders/7?colour=green"]
print(json.dumps([[client.get(path).status_code, client.get(path).get_json().get("currency")] for path in paths]))""",
        tmp_path,
    )

    assert answers == [[200, "EUR"], [200, "USD"], [400, None], [400, None]]


def test_a_handler_moves_from_fleece_by_its_imports(tmp_path: Path) -> None:
    """One word in each import; the rest of the file is the same."""
    before, after = ((MOVING / "fleece" / name).read_text("utf-8") for name in ("before.py", "after.py"))
    answers = run(
        "fleece",
        """
from carboy.testing.events import LambdaContext, rest_v1
from after import handler
answers = [handler(rest_v1("GET", f"/orders/{number}"), LambdaContext()) for number in (1, 2)]
print(json.dumps([[int(one["statusCode"]), json.loads(one["body"])] for one in answers]))""",
        tmp_path,
    )

    lines = before.replace("from fleece", "from carboy.fleece").splitlines()[1:]
    assert sorted(filter(None, lines)) == sorted(filter(None, after.splitlines()[1:]))
    assert answers == [
        [200, {"number": 1, "item": "tea"}],
        [404, {"message": "404: Not Found - there is no such order"}],
    ]
