"""Start and build: an application's import, a zip's first answer from a read-only tree, the time and size of a build.

Aims: import at most 1.3 times bare Flask's; first answer at most 0.4 of that of `pip install -t` and of Chalice's
packager; a build 3 times faster than pip and zip with a cold cache, 10 times with a warm one; a zip a third as large.
Processes are started in turn, and what counts is the processor's time of each: a busy neighbour slows all alike.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
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
CHALICE = (
    "import sys; from chalice.deploy.packager import DependencyBuilder; from chalice.utils import OSUtils;"
    "DependencyBuilder(OSUtils()).build_site_packages(*sys.argv[1:])"
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
    times = fresh({
        "nothing": [sys.executable, "-c", "pass"],
        "bare Flask": [sys.executable, "-c", BARE],
        "carboy": [sys.executable, "-c", OURS],
        "Powertools": [with_powertools, "-c", POWERTOOLS],
    })  # fmt: skip
    nothing = times.pop("nothing")
    print(f"{'import':28}{'ms':>10}{'of Flask':>10}")
    for name, took in times.items():
        print(f"{name:28}{(took - nothing) * 1e3:10.0f}{(took - nothing) / (times['bare Flask'] - nothing):10.2f}")


def builds(folder: Path) -> None:
    """Compare builds, their sizes, and the start of what they built."""
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "handler.py").write_text(APP)
    (project / "requirements.txt").write_text(REQUIREMENTS)
    options = BuildOptions(project, python=PYTHON, has_boto3=True, cache_dir=folder / "cache")
    trees = {name: folder / name.replace(" ", "-") for name in ("pip install -t", "chalice", "carboy build")}
    zips = {name: tree.with_suffix(".zip") for name, tree in trees.items()}
    environment("chalice", "chalice", "pip", "setuptools", "wheel")

    took = {
        "pip install -t": timed(lambda: pip_and_zip(project, trees["pip install -t"], zips["pip install -t"])),
        "chalice": timed(lambda: chalice(project, trees["chalice"], zips["chalice"])),
        "carboy build": timed(lambda: build(options)),
        "carboy build, again": timed(lambda: build(options)),
    }
    zips["carboy build"] = zips["carboy build, again"] = build(options).target
    with zipfile.ZipFile(zips["carboy build"]) as zipped:
        zipped.extractall(trees["carboy build"])

    by_pip, size = took["pip install -t"], zips["pip install -t"].stat().st_size
    print(f"\n{'build':28}{'s':>10}{'of pip':>10}{'MB':>10}{'of pip':>10}")
    for name, seconds in took.items():
        bytes_ = zips[name].stat().st_size
        print(f"{name:28}{seconds:10.2f}{seconds / by_pip:10.2f}{bytes_ / 1e6:10.1f}{bytes_ / size:10.2f}")

    base = getattr(sys, "_base_executable", sys.executable)
    starts = fresh({name: [base, "-S", "-B", "-c", START, str(tree)] for name, tree in trees.items()})
    print(f"\n{'first answer':28}{'ms':>10}{'of pip':>10}")
    for name, seconds in starts.items():
        print(f"{name:28}{seconds * 1e3:10.0f}{seconds / starts['pip install -t']:10.2f}")


def pip_and_zip(project: Path, tree: Path, target: Path) -> None:
    """Build as most tutorials do, without bytecode, which packagers leave out."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*command, "-t", str(tree), "-r", str(project / "requirements.txt")], check=True)
    add_and_zip(project, tree, target)


def chalice(project: Path, tree: Path, target: Path) -> None:
    """Build as Chalice's packager does, which unpacks wheels, without bytecode."""
    python = environment("chalice", "chalice", "pip", "setuptools", "wheel")
    abi = f"cp{PYTHON.replace('.', '')}"
    command = [str(python), "-c", CHALICE, abi, str(project / "requirements.txt"), str(tree)]
    subprocess.run(command, check=True, capture_output=True)
    add_and_zip(project, tree, target)


def add_and_zip(project: Path, tree: Path, target: Path) -> None:
    """Add the code and write the zip."""
    for cache in tree.rglob("__pycache__"):
        shutil.rmtree(cache)
    shutil.copytree(project / "src", tree, dirs_exist_ok=True)
    shutil.make_archive(str(target.with_suffix("")), "zip", tree)


def fresh(commands: Mapping[str, list[str]], rounds: int = 11) -> dict[str, float]:
    """Return the median of the processor's seconds that a fresh process of each command takes."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            before_s = children_s()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ)
            times[name].append(children_s() - before_s)
    return {name: statistics.median(each[1:]) for name, each in times.items()}  # the first finds no bytecode


def children_s() -> float:
    """Return how many seconds of the processor ended processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds a piece of work takes."""
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    run()
