"""Start and build: an application's import, a zip's first answer from a read-only tree, the time and size of a build.

Aims: import at most 1.3 times bare Flask's; first answer at most 0.4 of that of `pip install -t`; a build 3 times
faster than pip and zip with a cold cache, 10 times with a warm one; a zip a third as large.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers import environment
from carboy.bundle import BuildOptions, build

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
REQUIREMENTS = "flask==3.1.3\nboto3\n"
APP = """
import boto3
from flask import Flask

app = Flask("app")


@app.get("/")
def index():
    clients = [boto3.client(name, region_name="eu-central-1") for name in ("s3", "sqs")]
    return str(len(clients))


def handler(event, context):
    return app.test_client().get("/").text
"""
START = "import sys; sys.path.insert(0, sys.argv[1]); import handler; assert handler.handler({}, None) == '2'"
BARE = "import flask; app = flask.Flask('a'); app.add_url_rule('/', view_func=lambda: '')"
OURS = (
    "from carboy import create_app; app = create_app(INSTANCE_PATH=__import__('tempfile').mkdtemp(), MODULES='');"
    "app.add_url_rule('/hello', view_func=lambda: '')"
)
POWERTOOLS = (
    "from aws_lambda_powertools import Logger, Tracer; from aws_lambda_powertools.utilities import parameters;"
    "log, tracer = Logger(service='a'), Tracer(service='a', disabled=True)"
)


def run() -> None:
    """Print the three tables."""
    imports()
    with tempfile.TemporaryDirectory() as folder:
        builds(Path(folder))


def imports() -> None:
    """Compare what a fresh process needs to have an application."""
    with_powertools = str(environment("powertools", "aws-lambda-powertools[tracer,aws-sdk]"))
    rows = {
        "bare Flask": (sys.executable, BARE),
        "carboy": (sys.executable, OURS),
        "Powertools": (with_powertools, POWERTOOLS),
    }
    nothing = fresh(sys.executable, "pass")
    times = {name: fresh(python, program) - nothing for name, (python, program) in rows.items()}
    print(f"{'import':28}{'ms':>10}{'of Flask':>10}")
    for name, took in times.items():
        print(f"{name:28}{took * 1e3:10.0f}{took / times['bare Flask']:10.2f}")


def builds(folder: Path) -> None:
    """Compare builds, their sizes, and the start of what they built."""
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "handler.py").write_text(APP)
    (project / "requirements.txt").write_text(REQUIREMENTS)
    options = BuildOptions(project, python=PYTHON, has_boto3=True, cache_dir=folder / "cache")
    pip_zip, pip_tree = folder / "pip.zip", folder / "pip-tree"

    by_pip = timed(lambda: pip_and_zip(project, pip_tree, pip_zip))
    cold = timed(lambda: build(options))
    warm = timed(lambda: build(options))
    ours = build(options).target
    tree = folder / "tree"
    with zipfile.ZipFile(ours) as zipped:
        zipped.extractall(tree)
    for cache in pip_tree.rglob(
        "__pycache__"
    ):  # as `--no-compile`, which packagers use: bytecode would be checked anew
        shutil.rmtree(cache)

    print(f"{'build':28}{'s':>10}{'of pip':>10}{'MB':>10}{'of pip':>10}")
    size = pip_zip.stat().st_size
    for name, took, path in (
        ("pip and zip", by_pip, pip_zip),
        ("carboy, cold", cold, ours),
        ("carboy, warm", warm, ours),
    ):
        share = path.stat().st_size / size
        print(f"{name:28}{took:10.2f}{took / by_pip:10.2f}{path.stat().st_size / 1e6:10.1f}{share:10.2f}")
    slow, fast = first_answer(pip_tree), first_answer(tree)
    print(f"{'first answer':28}{'ms':>10}{'of pip':>10}")
    print(f"{'pip install -t':28}{slow * 1e3:10.0f}{1:10.2f}")
    print(f"{'carboy build':28}{fast * 1e3:10.0f}{fast / slow:10.2f}")


def pip_and_zip(project: Path, tree: Path, target: Path) -> None:
    """Build as most tutorials do."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*command, "-t", str(tree), "-r", str(project / "requirements.txt")], check=True)
    shutil.copytree(project / "src", tree, dirs_exist_ok=True)
    shutil.make_archive(str(target.with_suffix("")), "zip", tree)


def first_answer(tree: Path) -> float:
    """Return how long a fresh process takes from a tree to its first answer; nothing is written to the tree."""
    base = getattr(sys, "_base_executable", sys.executable)
    return fresh(base, START, "-S", "-B", arguments=[str(tree)])


def fresh(python: str, program: str, *flags: str, arguments: Sequence[str] = ()) -> float:
    """Return the median time of a fresh process."""
    command = [python, *flags, "-c", program, *arguments]
    return statistics.median(
        timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)) for _ in range(9)
    )


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds a piece of work takes."""
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    run()
