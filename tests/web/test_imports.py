"""What a start costs in imports."""

import subprocess
import sys
from pathlib import Path

_HEAVY = {"boto3", "botocore", "sqlalchemy", "alembic", "flask_sqlalchemy", "requests", "opentelemetry", "gunicorn"}
_HEAVY |= {"prometheus_client"}
_OF_PARTS = {"asyncio", "carboy.api", "jsonschema_rs", "msgspec", "rich", "structlog", "tomllib", "yaml"}


def _loaded(code: str, folder: Path) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return set(told.stdout.splitlines())


def test_importing_carboy_loads_nothing_heavy(tmp_path: Path) -> None:
    """Not even Flask: a script that asks for the version pays for nothing else."""
    assert not _loaded("import carboy", tmp_path) & (_HEAVY | {"flask", "carboy.web", "structlog", "msgspec"})


def test_an_application_starts_with_what_it_uses_alone(tmp_path: Path) -> None:
    """All parts are there: neither the database nor the documents nor structlog were needed for that yet."""
    code = (
        "import sys, types\n"
        "module = types.ModuleType('mine')\n"
        "module.register = lambda app: None\n"
        "sys.modules['mine'] = module\n"
        "from carboy import create_app\n"
        "create_app('test', modules='mine')\n"
    )

    assert not _loaded(code, tmp_path) & (_HEAVY | _OF_PARTS)


def test_a_flask_application_gets_its_parts_without_more(tmp_path: Path) -> None:
    """Also on Lambda."""
    code = (
        "import carboy, flask\n"
        "from carboy.serve import lambda_handler\n"
        "app = flask.Flask('a')\n"
        "carboy.init_app(app)\n"
        "lambda_handler(app)\n"
    )

    assert not _loaded(code, tmp_path) & (_HEAVY | _OF_PARTS)


_LATE = """
from carboy import create_app
app = create_app("test", instance_path="instance")
"""


def test_models_may_be_imported_after_the_application_was_made(tmp_path: Path) -> None:
    """As in a notebook."""
    code = "from carboy.db import db\nwith app.app_context():\n    assert db.engine.dialect.name == 'sqlite'"
    assert "flask_sqlalchemy" in _loaded(_LATE + code, tmp_path)


def test_models_that_come_with_a_request_say_that_they_are_late(tmp_path: Path) -> None:
    """Flask takes no extension then."""
    code = (
        "@app.get('/')\n"
        "def show():\n"
        "    from carboy.db import db\n"
        "    return str(db.engine)\n"
        "answer = app.test_client().get('/')\n"
        "assert answer.status_code == 500\n"
        "print(answer.text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", _LATE + code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert "first imported within a request" in done.stdout + done.stderr
