"""Packages in a Lambda zip: what imports from a plain installation of the most downloaded ones imports from the zip.

Each is built by `carboy build` for this Python, and installed by uv in the same versions; modules down to the second
level are imported in one process of each. Its metadata and its entry points must be there too. With a number, as in
`… -m benchmarks packages 10`, it takes the first so many.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from carboy.bundle import BuildOptions, build
from carboy.bundle.wheels import find_uv
from carboy.errors import CarboyError

IS_LONG = True
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TIMEOUT_S = 300
PACKAGES = """
boto3 packaging urllib3 certifi idna requests typing-extensions charset-normalizer setuptools botocore cryptography
aiobotocore python-dateutil six pyyaml pydantic pygments cffi click numpy pluggy pycparser pydantic-core grpcio-status
anyio s3transfer attrs protobuf h11 pytest annotated-types iniconfig fsspec httpx httpcore typing-inspection pandas pip
s3fs markupsafe platformdirs python-dotenv pathspec pyjwt jinja2 rich jmespath markdown-it-py aiohttp filelock
importlib-metadata yarl starlette multidict jsonschema zipp uvicorn propcache wheel mdurl pyasn1 pytz google-auth
googleapis-common-protos frozenlist fastapi rpds-py tqdm annotated-doc aiosignal referencing jsonschema-specifications
trove-classifiers tzdata google-api-core aiohappyeyeballs pillow virtualenv greenlet colorama pyasn1-modules typer
grpcio opentelemetry-sdk tenacity wrapt requests-oauthlib opentelemetry-api awscli websockets python-multipart scipy
sniffio pydantic-settings sqlalchemy pyparsing lxml beautifulsoup4 oauthlib psutil
""".split()  # noqa: SIM905 — a list of a hundred names reads better so
IMPORT = """
import contextlib, importlib, importlib.metadata as metadata, io, json, os, pkgutil, sys, warnings
warnings.simplefilter("ignore")
root, package = sys.argv[1:]
sys.path.insert(0, root)
sys.dont_write_bytecode = True
names = [name for name in sorted(os.listdir(root)) if name.isidentifier() or name.endswith((".py", ".so"))]
tops = sorted({name.partition(".")[0] for name in names} - {"bin", "include", "share", "etc"})
found, spent = [], io.StringIO()
def load(name):
    try:
        with contextlib.redirect_stdout(spent), contextlib.redirect_stderr(spent):
            module = importlib.import_module(name)
    except BaseException as error:
        return None
    found.append(name)
    return module
for top in tops:
    module = load(top)
    for below in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if below.name not in {"tests", "test", "__main__", "conftest"} and not below.name.startswith("test_"):
            load(f"{top}.{below.name}")
known = sorted({one.name for one in metadata.distributions(path=[root])})
points = sorted(f"{one.group}:{one.name}" for each in metadata.distributions(path=[root]) for one in each.entry_points)
sys.__stdout__.write(json.dumps({"modules": found, "distributions": known, "entry points": points}))
sys.__stdout__.flush()
os._exit(0)
"""


def run(count: int = len(PACKAGES)) -> None:
    """Print one line for each package: how much there is in a plain installation, and what the zip lacks of it."""
    os.environ["PIP_CONFIG_FILE"] = os.devnull  # both sides take the same versions, from the same index
    print(f"{'package':28}{'plain MB':>9}{'zip MB':>8}{'modules':>9}{'missing':>9}")
    failed = 0
    for name in PACKAGES[:count]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                missing = _compare(name, Path(folder))
            except (CarboyError, subprocess.SubprocessError) as error:
                print(f"{name:28} {error}", flush=True)
                missing = [str(error)]
        failed += bool(missing)
    print(f"\n{count - failed} of {count} packages have in the zip all that a plain installation has")


def _compare(name: str, folder: Path) -> list[str]:
    plain, task = folder / "plain", folder / "task"
    (folder / "src").mkdir()
    (folder / "src" / "handler.py").write_text("")
    (folder / "requirements.txt").write_text(f"{name}\n")
    report = build(
        BuildOptions(folder, python=PYTHON, keeps_all_services=name == "awscli", has_boto3=True, cache_dir=folder / "c")
    )
    with zipfile.ZipFile(report.target) as zipped:
        zipped.extractall(task)
    (task / "handler.py").unlink()
    shutil.rmtree(task / "__pycache__", ignore_errors=True)
    pins = [f"{one.name}=={one.version}" for one in metadata.distributions(path=[str(task)])]
    uv = find_uv() or sys.exit("uv is needed")
    install = [uv, "pip", "install", "-q", "--only-binary", ":all:", "--python", sys.executable]
    subprocess.run([*install, "--target", str(plain), *pins], check=True)
    has, gets = _imported(plain, name), _imported(task, name)
    missing = [one for part in has for one in sorted(set(has[part]) - set(gets[part]))]
    size = sum(path.stat().st_size for path in plain.rglob("*") if path.is_file() and path.suffix != ".pyc")
    print(
        f"{name:28}{size / 1e6:9.1f}{report.zip_bytes / 1e6:8.1f}{len(has['modules']):9}{len(missing):9}  "
        + " ".join(missing[:8]),
        flush=True,
    )
    return missing


def _imported(root: Path, name: str) -> dict[str, list[str]]:
    ran = subprocess.run(
        [sys.executable, "-S", "-c", IMPORT, str(root), name],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
        cwd=root,
    )
    found: dict[str, list[str]] = json.loads(ran.stdout)
    return found
