"""`carboy config edit`: nothing of what a person sees stays behind."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.encrypted_kit import OPEN, Shop
from tests.lab.signing_keys import KeyServer, MemoryKeys

MEMORY = Path("/dev/shm")
EDITOR = """\
import os, pathlib, sys, time
path = pathlib.Path(sys.argv[-1])
told = pathlib.Path(os.environ["TOLD"])
told.write_text(f"{path}\\n{path.stat().st_mode:o}\\n{path.parent.stat().st_mode:o}\\n")
text = path.read_text()
action = os.environ["ACTION"]
if action.startswith("sub "):
    path.write_text(text.replace(*action[4:].split("|")))
elif action == "break":
    path.write_text(text + "\\n# half-done hunter2\\nx: [\\n")
elif action == "fail":
    path.write_text(text + "# half-done hunter2\\n")
    sys.exit(1)
elif action == "wait":
    path.write_text(text + "# half-done hunter2\\n")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "editor.py").write_text(EDITOR)
    made = Shop(folder)
    made.environ["CARBOY_EDITOR"] = f"{sys.executable} '{tmp_path / 'editor.py'}'"
    made.environ["TOLD"] = str(tmp_path / "told")
    with KeyServer(MemoryKeys("prod-key", "dev-key")) as keys:
        made.use(keys)
        made.run("config", "import", stdin=OPEN)
        yield made


def edit(shop: Shop, action: str, *more: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = shop.run("config", "edit", *more, environ={"ACTION": action}, code=code, stdin=stdin)
    assert_nothing_is_left(shop)
    return done


def told(shop: Shop) -> list[str]:
    """Return what the editor saw: the path, its mode and its folder's."""
    return Path(shop.environ["TOLD"]).read_text().splitlines()


def assert_nothing_is_left(shop: Shop) -> None:
    path = Path(told(shop)[0])
    assert not path.parent.exists()
    for found, data in shop.everything_written().items():
        assert b"hunter2" not in data, found
        assert b"my-prod-password" not in data, found


def test_an_edit_is_taken(shop: Shop) -> None:
    """The plain text was private, and in memory where there is such a place."""
    edit(shop, "sub my-prod-password|new")

    path, mode, folder_mode = told(shop)
    assert stat.S_IMODE(int(mode, 8)) == 0o600
    assert stat.S_IMODE(int(folder_mode, 8)) == 0o700
    assert MEMORY in Path(path).parents or not MEMORY.is_dir()
    assert shop.run("config", "get", "prod", "password").stdout == "new\n"


def test_an_edit_as_json_keeps_the_comments(shop: Shop) -> None:
    """The file stays YAML."""
    edit(shop, 'sub "bar"|"other"', "--json")

    assert told(shop)[0].endswith(".json")
    assert shop.run("config", "export").stdout == OPEN.replace("foo: bar  ", "foo: other")


@pytest.mark.parametrize("action", ["none", "fail"])
def test_nothing_is_written_when_nothing_changed_or_the_editor_failed(shop: Shop, action: str) -> None:
    """`:cq` means no."""
    before = shop.config.read_bytes()

    edit(shop, action, code=1 if action == "fail" else 0)

    assert shop.config.read_bytes() == before


def test_a_mistake_can_be_edited_again(shop: Shop) -> None:
    """The fault is shown, and the text is still there."""
    done = edit(shop, "break", stdin="y\nn\n", code=3)

    assert done.stderr.count("Edit again?") == 2
    assert "what you wrote:" in done.stderr


def test_an_interrupted_edit_is_continued(shop: Shop) -> None:
    """It was kept sealed."""
    edit(shop, "fail", code=1)

    done = edit(shop, "sub # half-done hunter2|# whole", stdin="c\n")

    assert "interrupted edit" in done.stderr
    assert shop.run("config", "export").stdout == OPEN + "# whole\n"
    assert "interrupted" not in edit(shop, "none").stderr


def test_an_interrupted_edit_is_dropped(shop: Shop) -> None:
    """When the operator says so; without an answer nothing is done."""
    edit(shop, "fail", code=1)
    edit(shop, "none", code=2)
    edit(shop, "sub # half-done hunter2|# never", stdin="a\n")
    assert shop.run("config", "export").stdout == OPEN


def test_a_file_that_changed_meanwhile_is_not_overwritten(shop: Shop) -> None:
    """What was written is kept, sealed."""
    other = shop.config.read_text() + "# theirs\n"
    script = shop.folder.parent / "editor.py"
    script.write_text(EDITOR + f"\npathlib.Path({str(shop.config)!r}).write_text({other!r})\n")

    done = edit(shop, "sub my-prod-password|hunter2", code=3)

    assert "changed meanwhile" in done.stderr
    assert "is kept, sealed" in done.stderr
    assert shop.config.read_text() == other


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_plain_text(shop: Shop, number: signal.Signals) -> None:
    """The editor ends as well, and what was written is kept, sealed."""
    process = subprocess.Popen(
        shop.command("config", "edit"), cwd=shop.folder, env={**shop.environ, "ACTION": "wait"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert "is kept, sealed" in err
    assert_nothing_is_left(shop)
    done = shop.run("config", "edit", "--continue", environ={"ACTION": "sub # half-done hunter2|# done"})
    assert "wrote" in done.stderr


def test_what_a_killed_edit_left_is_removed_by_the_next(shop: Shop) -> None:
    """SIGKILL leaves no time."""
    process = subprocess.Popen(
        shop.command("config", "edit"), cwd=shop.folder, env={**shop.environ, "ACTION": "wait"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    left = Path(told(shop)[0])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert left.exists()

    edit(shop, "none")

    assert not left.parent.exists()


def test_a_first_file_is_made_by_an_edit(shop: Shop) -> None:
    """Of a template, by an editor whose words hold quotes and no shell."""
    shop.config.unlink()
    pwned = shop.folder / "pwned"

    edit(shop, "sub config: {}|config: {a: 1}", "-e", f"{shop.environ['CARBOY_EDITOR']} '; touch {pwned} #'")

    assert not pwned.exists()
    assert shop.run("config", "render", "dev").stdout == "a: 1\n"
    assert "was not started" in shop.run("config", "edit", "--editor", "no-such-editor", code=1).stderr
    shop.run("config", "edit", "--editor", "'", code=2)


def test_signals_are_handled_only_while_there_is_plain_text() -> None:
    """The signal handlers of this process are as they were."""
    from carboy.config.encrypted.editing import private_folder

    before = signal.getsignal(signal.SIGTERM)
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert not folder.exists()
