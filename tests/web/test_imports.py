"""What a start costs in imports."""

import subprocess
import sys
from pathlib import Path

_HEAVY = {"boto3", "botocore", "sqlalchemy", "alembic", "flask_sqlalchemy", "requests", "opentelemetry", "granian"}


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


def test_an_application_without_models_starts_without_sqlalchemy(tmp_path: Path) -> None:
    """And the second start without YAML: the documents were kept as JSON."""
    code = (
        "import sys, types\n"
        "module = types.ModuleType('mine')\n"
        "module.register = lambda app: None\n"
        "sys.modules['mine'] = module\n"
        "from carboy import create_app\n"
        "create_app('test', modules='mine')\n"
    )

    assert not _loaded(code, tmp_path) & _HEAVY
    assert not _loaded(code, tmp_path) & (_HEAVY | {"yaml"})
