"""Each check reads one file of `deploy/` (or a copy of it) and returns what it finds wrong; empty where all is well."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

_BIN = Path(sys.executable).parent
_SYSTEMD_THRESHOLD = "20"  # of 100: 2.0 in `systemd-analyze security`
_KUBERNETES = "1.34.0"


def cfn_lint(path: Path) -> str:
    """Lint a CloudFormation or SAM template by AWS's own schemas."""
    from cfnlint.api import lint_all  # type: ignore[import-untyped]

    return "\n".join(str(match) for match in lint_all(path.read_text("utf-8")) if match.rule.id[0] in "EW")


def hadolint(path: Path) -> str:
    """Lint a Dockerfile, and the shell in it."""
    return _run(_BIN / "hadolint", "--no-color", str(path))


def kubernetes(path: Path) -> str:
    """Check manifests by the schemas of Kubernetes, unknown fields included."""
    return _run(_BIN / "kubernetes-validate", "--strict", "--quiet", "-k", _KUBERNETES, str(path))


def compose(path: Path) -> str:
    """Check a compose file by the schema of the Compose Specification."""
    return _run(_BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))


def gunicorn(path: Path) -> str:
    """Have gunicorn read its configuration, and load the application."""
    return _run(_BIN / "gunicorn", "--check-config", "-c", str(path), "carboy:create_app()", cwd=path.parent)


def nginx(path: Path) -> str:
    """Have nginx read its configuration; it resolves the names of upstreams, so they stand on loopback here."""
    copy = path.with_name("nginx.local.conf")
    copy.write_text(path.read_text("utf-8").replace("web:8000", "127.0.0.1:8000"), "utf-8")
    return _run(_program("nginx", "nginx"), "-t", "-q", "-e", "stderr", "-c", str(copy))


def systemd(path: Path) -> str:
    """Have systemd read a unit, and say how much of the system it leaves open."""
    program = _program("systemd-analyze", "systemd")
    copy = path.with_name(f"checked-{path.name}")
    copy.write_text(path.read_text("utf-8").replace("/opt/carboy/bin/carboy", sys.executable), "utf-8")
    exposure = ("security", "--no-pager", "--offline=true", f"--threshold={_SYSTEMD_THRESHOLD}", str(copy))
    verified = subprocess.run([program, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in verified.stderr.splitlines() if copy.name in line]  # exit code 0 all the same
    return "\n".join(complaints) or _run(program, *exposure)


def ecs_task(path: Path) -> str:
    """Check a task definition by what the API of ECS takes."""
    from botocore.session import get_session
    from botocore.validate import ParamValidator

    shape = get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    found: str = ParamValidator().validate(json.loads(path.read_text("utf-8")), shape).generate_report()
    return found


def _run(program: Path, *arguments: str, cwd: Path | None = None) -> str:
    ran = subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr or f"exit code {ran.returncode}"


def _program(name: str, package: str) -> Path:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        message = f"`{name}` is not there: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)
