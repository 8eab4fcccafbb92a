"""A test that hangs ends the suite with its name, also while it is cleaned up after."""

import subprocess
import sys
from pathlib import Path

import pytest

HANGS = {
    "test": """
        def test_it():
            time.sleep(100)
    """,
    "teardown after a failure": """
        @pytest.fixture
        def server():
            yield
            time.sleep(100)

        def test_it(server):
            assert False
    """,
}


@pytest.mark.parametrize("where", HANGS)
def test_what_hangs_is_ended_and_named(where: str, tmp_path: Path) -> None:
    lines = HANGS[where].replace("\n        ", "\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_hangs.py").write_text(f"import time\nimport pytest\n{lines}")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:randomly", "-q"]
    command += [f"--rootdir={tmp_path}", "-c", "/dev/null", "--timeout=1", "-o", "filterwarnings=", str(tmp_path)]
    run = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 1, run.stdout + run.stderr
    assert "test_hangs.py::test_it" in run.stdout.splitlines()[-2]
    assert "Timeout (>1.0s)" in run.stdout
