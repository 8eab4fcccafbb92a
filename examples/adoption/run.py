"""Adopt public Flask applications by the lines that the how-to gives, and compare them before and after.

    python examples/adoption/run.py microblog=../microblog flaskr=../flask/examples/tutorial …

Each application is a folder that was checked out before; nothing of it is changed, as a copy is worked on. The
environment that runs this has Carboy and what the applications need. For each: its own tests before and after, what
each GET route without arguments answers a browser before and after, `flask routes`, `flask shell`,
`flask run --debug` with a view that raises, and `flask db migrate` where it has migrations.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

RUN = Path(__file__).with_name("answers.py")


@dataclass(frozen=True)
class Application:
    """How an application is found, adopted and tested.

    Attributes:
        flask_app: as Flask takes it.
        file: where the two lines go.
        before: the line above which they go; the last one that begins so.
        tests: arguments of Python for its own tests; none where it has none.
        environ: further variables.
        first: what is called before its first request, in its context.
    """

    flask_app: str
    file: str
    before: str = "    return app"
    tests: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    first: str = ""


APPLICATIONS = {
    "flaskr": Application(
        "flaskr", "flaskr/__init__.py", tests=("-m", "pytest", "-q", "tests"), first="flaskr.db:init_db"
    ),
    "js_example": Application("js_example", "js_example/__init__.py", "from", tests=("-m", "pytest", "-q", "tests")),
    "celery": Application("task_app:create_app", "src/task_app/__init__.py", environ={"PYTHONPATH": "src"}),
    "microblog": Application("microblog.py", "app/__init__.py", tests=("tests.py",)),
    "microblog-api": Application("microblog.py", "api/app.py", tests=("-m", "pytest", "-q", "tests")),
    "flasky": Application(
        "flasky.py",
        "app/__init__.py",
        tests=("-m", "unittest", "-q", "tests.test_basics", "tests.test_api", "tests.test_client"),
    ),
    "greybook": Application(
        "app",
        "greybook/__init__.py",
        tests=("-m", "pytest", "-q", "--no-cov", "tests"),
        first="flask_migrate:upgrade",
    ),
    "flask-security": Application(
        "fsqlalchemy1.app:create_app",
        "fsqlalchemy1/app.py",
        tests=("-m", "pytest", "-q", "fsqlalchemy1/tests"),
        environ={"PYTHONPATH": "."},
    ),
    "flask-admin": Application("admin", "admin/__init__.py", "import admin.main"),
    "flask-restx-todo": Application("todo:app", "todo.py", "if __name__"),
}
LINES = ("import carboy", "carboy.init_app(app)")


@dataclass
class Trial:
    """One application in a folder of its own."""

    name: str
    what: Application
    folder: Path

    def python(self, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        environ = {**kept, "FLASK_APP": self.what.flask_app, "SECRET_KEY": "for-a-trial", **self.what.environ, **more}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def adopt(self) -> None:
        """Add the two lines."""
        path = self.folder / self.what.file
        lines = path.read_text("utf-8").splitlines()
        found = [number for number, line in enumerate(lines) if line.startswith(self.what.before)]
        at = found[-1]
        indent = re.match(r"\s*", lines[at])[0]  # type: ignore[index]
        lines[at:at] = [indent + line for line in LINES]
        path.write_text("\n".join(lines) + "\n", "utf-8")

    def tests(self) -> str:
        """Run its own tests and return their last words."""
        if not self.what.tests:
            return "-"
        done = self.python(*self.what.tests)
        words = re.findall(r"\d+ (?:passed|failed|errors?)|Ran \d+ tests|FAILED \([^)]*\)", done.stdout + done.stderr)
        return ", ".join(words) or (done.stderr or done.stdout).strip().splitlines()[-1]

    def answers(self) -> dict[str, list[object]]:
        """Return what each GET route without arguments answers, by path and `Accept`."""
        done = self.python(str(RUN), self.what.first)
        if done.returncode:
            return {"failed": [done.stderr.strip().splitlines()[-1]]}
        found: dict[str, list[object]] = json.loads(done.stdout.splitlines()[-1])
        return found

    def flask(self, *arguments: str, stdin: str = "", says: str = "") -> str:
        """Run `flask …` and say how it went."""
        done = self.python("-m", "flask", *arguments, stdin=stdin)
        is_well = done.returncode == 0 and says in done.stdout + done.stderr
        return "ok" if is_well else (done.stderr.strip().splitlines() or ["?"])[-1][:60]

    def migrate(self) -> str:
        """Write the next migration after Carboy's tables were made in the same database; it must drop none of them."""
        if not (self.folder / "migrations" / "env.py").is_file() or not self.has_flask_migrate():
            return "-"
        for step in (
            ("-m", "flask", "db", "upgrade"),
            ("-m", "carboy", "db", "upgrade"),
            ("-m", "flask", "db", "migrate", "-m", "trial"),
        ):
            done = self.python(*step)
            if done.returncode:
                return f"{step[1]}: {done.stderr.strip().splitlines()[-1][:60]}"
        written = list((self.folder / "migrations" / "versions").glob("*trial*.py"))
        dropped = [
            path for path in written if re.search(r"drop_table\('(carboy|archive|sms)_", path.read_text("utf-8"))
        ]
        return "drops Carboy's tables" if dropped else "ok"

    def has_flask_migrate(self) -> bool:
        """Return whether `flask db` is there."""
        return self.python("-m", "flask", "db", "migrate", "--help").returncode == 0

    def debugger(self) -> str:
        """Say whether `flask run --debug` shows werkzeug's debugger for a view that raises, once in the log."""
        done = self.python(str(RUN), "--debugger")
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-60:]


def compare(before: dict[str, list[object]], after: dict[str, list[object]]) -> str:
    """Say how many answers are the same, and name the first that are not."""
    other = [path for path, answer in before.items() if after.get(path) != answer]
    shown = f" ({', '.join(other[:3])})" if other else ""
    return f"{len(before) - len(other)} of {len(before)}{shown}"


def try_one(name: str, source: Path) -> list[str]:
    """Return the row of one application."""
    with tempfile.TemporaryDirectory() as work:
        trial = Trial(name, APPLICATIONS[name], Path(work, source.resolve().name))
        shutil.copytree(source, trial.folder, ignore=shutil.ignore_patterns(".git", "*.pyc"))
        before, answers = trial.tests(), trial.answers()
        trial.adopt()
        steps: list[Callable[[], str]] = [
            trial.tests,
            lambda: compare(answers, trial.answers()),
            lambda: trial.flask("routes", says="/livez"),
            lambda: trial.flask("shell", stdin="print('in a shell', app.name)\n", says="in a shell"),
            trial.debugger,
            trial.migrate,
        ]
        return [name, before, *(step() for step in steps)]


def main() -> int:
    """Print the table; 1 where something changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("applications", nargs="+", metavar="NAME=FOLDER", help=f"of {', '.join(APPLICATIONS)}")
    given = parser.parse_args().applications
    titles = ["application", "tests before", "tests after", "same answers", "routes", "shell", "debugger", "migrate"]
    print("| " + " | ".join(titles) + " |\n" + "| --- " * len(titles) + "|", flush=True)
    is_well = True
    for one in given:
        name, _, folder = one.partition("=")
        row = try_one(name, Path(folder))
        whole = re.match(r"(\d+) of (\d+)", row[3])
        is_well &= row[1] == row[2] and whole is not None and whole[1] == whole[2]
        is_well &= set(row[4:]) <= {"ok", "-"}
        print("| " + " | ".join(row) + " |", flush=True)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
