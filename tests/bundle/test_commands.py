"""`carboy build` and `carboy lambda invoke`, as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A service of one module."""
    (tmp_path / "hello.py").write_text(
        "import sys\n\n\ndef app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/break':\n        raise ValueError('broken')\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['REQUEST_METHOD'].encode() + environ['wsgi.input'].read()]\n"
    )
    return tmp_path


def carboy(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a folder; nothing of this machine's is on its PATH, and its home is the folder."""
    environ = {"PATH": str(folder), "HOME": str(folder), "NO_COLOR": "1"}
    program = "import sys; from carboy.cli import main; sys.argv[0] = 'carboy'; sys.exit(main())"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=folder, env=environ, input=stdin, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["build", "."], ["build"]], ids=["named", "here"])
def test_build_says_what_it_made_and_what_is_left(project: Path, words: list[str]) -> None:
    ran = carboy(project, *words)

    assert ran.returncode == 0, ran.stderr
    assert (project / "dist" / "lambda_function.zip").is_file()
    assert "your code" in ran.stdout
    assert "left of 50 MB" in ran.stderr
    assert "left of 250 MB" in ran.stderr


def test_build_lists_each_file_and_why_it_is_in(project: Path) -> None:
    ran = carboy(project, "build", ".", "--list")

    assert ["hello.py", "source"] in [line.split()[1:] for line in ran.stdout.splitlines()]


def test_build_prints_one_document(project: Path) -> None:
    document = json.loads(carboy(project, "build", ".", "--json", "--target", "out/my.zip").stdout)

    assert document["fits"] is True
    assert (project / "out" / "my.zip").stat().st_size == document["zip_bytes"]


def test_build_takes_the_options_of_fleece(project: Path) -> None:
    """Several values in one option, the service's folder before or after them, a version without its dot."""
    for name in ("a.md", "b.md", "c.md"):
        (project / "src").mkdir(exist_ok=True)
        (project / "src" / name).write_text("x")
    for arguments in (
        ["-e", "a.md", "b.md", "."],
        [".", "-e", "a.md", "b.md"],
        ["-e", "a.md", "-e", "b.md", "-3", "."],
    ):
        document = json.loads(carboy(project, "build", *arguments, "--json", "--python", "311").stdout)

        assert [file["path"] for file in document["files"]] == ["c.md"], arguments


def test_build_exits_1_when_lambda_would_not_take_the_zip(project: Path) -> None:
    with (project / "big.py").open("wb") as file:
        file.write(b"#" * 251 * 1024 * 1024)

    ran = carboy(project, "build", ".", "--python", "3.14")

    assert ran.returncode == 1
    assert "over Lambda's 250 MB" in ran.stderr
    assert "hint:" in ran.stderr


def test_system_packages_need_a_container_engine(project: Path) -> None:
    (project / "requirements.txt").write_text("flask\n")

    ran = carboy(project, "build", ".", "--dependencies", "libpq")

    assert ran.returncode == 4
    assert "no container engine" in ran.stderr
    assert "--image" in ran.stderr


def test_an_image_is_printed_and_nothing_built(project: Path) -> None:
    ran = carboy(project, "build", ".", "--image", "-d", "libpq")

    assert "FROM --platform=linux/amd64" in ran.stdout
    assert not (project / "dist").exists()


def test_a_misused_build_exits_2(project: Path) -> None:
    assert carboy(project, "build", ".", "--python", "2.7").returncode == 2
    assert carboy(project, "build", ".", "--source", "nowhere").returncode == 2


@pytest.mark.parametrize("sample", ["rest-v1", "http-v1", "http-v2", "alb", "alb-multi", "url"])
def test_a_sample_is_answered(project: Path, sample: str) -> None:
    ran = carboy(
        project, "lambda", "invoke", "--sample", sample, "--app", "hello:app", "--method", "POST", "--body", " you"
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["body"] == "POST you"
    assert "duration" in ran.stderr
    assert "memory" in ran.stderr


EVENTS = """
import carboy
from flask import Flask
app = Flask(__name__)
carboy.init_app(app, parts=["request_ids"])

@app.on_event("sqs", "orders")
def on_order(record):
    print("order", record["body"])

@app.on_event("sns", "news")
def on_news(message):
    print("news", message["Message"])

@app.on_event("schedule", "cleanup")
def on_cleanup(event):
    print("cleanup")
"""


@pytest.mark.parametrize(("sample", "name"), [("sqs", "orders"), ("sns", "news"), ("schedule", "cleanup")])
def test_a_sample_comes_from_what_a_function_waits_for(project: Path, sample: str, name: str) -> None:
    """A queue, topic or rule by its name; of another name the command says what there is."""
    (project / "events.py").write_text(EVENTS)

    named = carboy(
        project, "lambda", "invoke", "--sample", sample, "--name", name, "--body", "1", "--app", "events:app"
    )
    other = carboy(project, "lambda", "invoke", "--sample", sample, "--app", "events:app")
    misused = carboy(project, "lambda", "invoke", "--sample", "url", "--name", name, "--app", "events:app")

    assert named.returncode == 0, named.stderr
    assert name.rstrip("s") in named.stderr
    assert other.returncode != 0
    assert f"functions are registered for `{name}`" in other.stderr
    assert f"--name {name}" in other.stderr
    assert misused.returncode == 2


def test_an_event_comes_from_a_file_or_from_stdin(project: Path) -> None:
    event = json.dumps({"httpMethod": "GET", "path": "/"})
    (project / "event.json").write_text(event)

    from_file = carboy(project, "lambda", "invoke", "event.json", "--app", "hello:app")
    from_stdin = carboy(project, "lambda", "invoke", "-", "--app", "hello:app", stdin=event)

    assert json.loads(from_file.stdout) == json.loads(from_stdin.stdout)
    assert json.loads(from_file.stdout)["statusCode"] == 200


def test_the_handler_itself_may_be_named(project: Path) -> None:
    """As `handler.py` has it, and as Lambda calls it."""
    (project / "handler.py").write_text(
        "from carboy.serve import lambda_handler\nfrom hello import app\nhandler = lambda_handler(app)\n"
    )

    ran = carboy(project, "lambda", "invoke", "--sample", "http-v2", "--app", "handler:handler")

    assert json.loads(ran.stdout)["statusCode"] == 200, ran.stderr


def test_an_answer_of_500_and_an_unknown_event_exit_1(project: Path) -> None:
    broken = carboy(project, "lambda", "invoke", "--sample", "url", "--path", "/break", "--app", "hello:app")
    unknown = carboy(project, "lambda", "invoke", "-", "--app", "hello:app", stdin='{"zebra": 1}')

    assert (broken.returncode, unknown.returncode) == (1, 1)
    assert "`zebra`" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_without_an_event_the_command_is_misused(project: Path) -> None:
    assert carboy(project, "lambda", "invoke").returncode == 2


def test_invoke_prints_the_answer_alone(project: Path) -> None:
    """What the handler logs or prints goes to stderr, so that the answer can be piped on."""
    (project / "chatty.py").write_text(
        "from carboy import create_app, logs\n\n\ndef make():\n"
        "    app = create_app(modules=(), instance_path='i')\n"
        "    print('made')\n"
        "    app.on_event('schedule')(lambda event: logs.get_logger('x').info('swept') or {'swept': 1})\n"
        "    return app\n"
    )

    ran = carboy(project, "lambda", "invoke", "--sample", "schedule", "--app", "chatty:make")

    assert json.loads(ran.stdout) == {"swept": 1}
    assert "made" in ran.stderr
    assert '"swept"' in ran.stderr


def test_invoke_says_that_there_is_no_such_application(project: Path) -> None:
    """The module or the name in it is missing: misuse, reported in two lines."""
    for named in ("nothere:app", "hello:nothere"):
        ran = carboy(project, "lambda", "invoke", "--sample", "http-v2", "--app", named)

        assert ran.returncode == 2
        assert ran.stderr.startswith(f"error: `{named}` is not an application")
        assert "Traceback" not in ran.stderr
