"""`carboy config` from the outside."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.encrypted_kit import OPEN, Shop
from tests.lab.signing_keys import KeyServer, MemoryKeys

NOBODY = {"AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1"}


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer(MemoryKeys("prod-key", "dev-key")) as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, keys: KeyServer) -> Shop:
    folder = tmp_path / "work"
    folder.mkdir()
    made = Shop(folder)
    made.use(keys)
    return made


def test_import_export_and_render_go_round(shop: Shop, keys: KeyServer) -> None:
    """A no-op import makes no call and changes no byte."""
    shop.run("config", "import", stdin=OPEN)
    before = (shop.config.read_bytes(), shop.config.stat().st_mtime_ns)

    assert shop.run("config", "export").stdout == OPEN
    assert "nothing changed" in shop.run("config", "import", stdin=OPEN, environ=NOBODY).stderr
    assert (shop.config.read_bytes(), shop.config.stat().st_mtime_ns) == before
    keys.keys.calls.clear()
    assert json.loads(shop.run("config", "render", "prod", "--json").stdout)["password"] == "my-prod-password"
    assert keys.keys.calls == {"decrypt": 1}
    assert "password: my-dev-password\n" in shop.run("config", "-c", "config.yml", "render", "anything").stdout
    assert "PASSWORD=my-prod-password\n" in shop.run("config", "render", "prod", "--env", "-c", "config.yml").stdout


def test_json_goes_round_as_well(shop: Shop) -> None:
    """Comments stay."""
    shop.run("config", "import", stdin=OPEN)
    tree = json.loads(shop.run("config", "export", "--json").stdout)
    tree["config"]["foo"] = "changed"

    shop.run("config", "import", stdin=json.dumps(tree))

    assert shop.run("config", "export").stdout == OPEN.replace("foo: bar    ", "foo: changed")


def test_a_first_export_is_a_template_of_the_environments(shop: Shop) -> None:
    """Each is a stage."""
    (shop.folder / "environments.yml").write_text("environments:\n- {name: dev, account: '123456789012'}\n")

    assert shop.run("config", "export").stdout == (
        "stages:\n  dev:\n    environment: dev\n    key: enter-key-name-here\nconfig: {}\n"
    )


def test_every_fault_is_printed_with_its_place(shop: Shop) -> None:
    """Exit 3, the old file whole."""
    shop.run("config", "import", stdin=OPEN)
    before = shop.config.read_bytes()

    done = shop.run("config", "import", stdin="stages: {prod: {key: k}}\nconfig:\n  a: ':encrypt:hunter2'\n", code=3)

    assert "stdin:1: stages.prod: the stage `prod` has no `environment`" in done.stderr
    assert "stdin:3: a: a secret must be under a stage" in done.stderr
    assert "hunter2" not in done.stderr
    assert shop.config.read_bytes() == before
    shop.run("config", "import", stdin=b"\xff", code=3)


def test_a_refusal_of_aws_names_action_and_key(shop: Shop, keys: KeyServer) -> None:
    """Exit 4."""
    shop.run("config", "import", stdin=OPEN)
    keys.keys.denied = {"decrypt"}

    done = shop.run("config", "render", "prod", code=4)

    assert "kms:Decrypt" in done.stderr
    assert "arn:aws:kms:" in done.stderr
    assert "AccessDenied" in done.stderr


def test_misuse_is_2(shop: Shop) -> None:
    """Reported before a file is read."""
    for words in (
        ["render", "prod", "--json", "--env"],
        ["render", "prod", "--prune"],
        ["render", "prod", "--ssm-kms-key", "k"],
        ["render", "prod", "--no-such-option"],
        ["render"],
        ["diff", "prod"],
        ["diff", "--rev", "HEAD", "a", "b"],
    ):
        assert shop.refusal("config", *words) == 2


def test_the_python_module_decrypts_itself_when_it_is_first_read(shop: Shop) -> None:
    """With boto3 alone, without a region set, in few calls; importing it makes no call."""
    text = OPEN.replace("foo: bar", "foo: '" + "é😀ß" * 9_000 + "'")
    shop.run("config", "import", stdin=text)
    shop.folder.joinpath("settings.py").write_text(shop.run("config", "render", "prod", "--python").stdout)
    program = (
        "import sys, settings; print(settings.CONFIG['foo'] == 'é😀ß' * 9000);"
        "from settings import CONFIG; print(CONFIG is settings.CONFIG);"
        "print('cryptography' in sys.modules, 'carboy' in sys.modules)"
    )
    environ = {name: value for name, value in shop.environ.items() if "REGION" not in name} | {"PYTHONPATH": "."}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=shop.folder, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "False", "False"]
    away = subprocess.run(
        [sys.executable, "-c", "import settings"],
        cwd=shop.folder,
        env=environ | NOBODY,
        capture_output=True,
        check=False,
    )
    assert away.returncode == 0
    assert "my-prod-password" not in shop.folder.joinpath("settings.py").read_text()


def test_encrypted_buffers_open_with_kms_alone(shop: Shop, keys: KeyServer) -> None:
    """As Fleece documents them: decrypt each, join, read the JSON."""
    from base64 import b64decode

    shop.run("config", "import", stdin=OPEN.replace("foo: bar", "foo: '" + "é" * 5_000 + "'"))

    buffers = json.loads(shop.run("config", "render", "prod", "--encrypt").stdout)

    plain = [keys.keys.decrypt(b64decode(buffer), None, {})[0].decode() for buffer in buffers]
    assert len(plain) == 3
    assert json.loads("".join(plain))["foo"] == "é" * 5_000


def test_an_environment_gives_its_key(shop: Shop, keys: KeyServer) -> None:
    """Fleece looked it up as a stage."""
    from base64 import b64decode

    environments = "environments:\n- {name: dev, account: '123456789012'}\n- {name: prod, account: '123456789012'}\n"
    shop.run("config", "import", stdin=OPEN)
    (shop.folder / "environments.yml").write_text(environments)
    assert "not verified" in shop.run("config", "render", "prod", "-e", "dev", "--encrypt", code=4).stderr
    shop.environ["CARBOY_VERIFY_ACCOUNT"] = "off"  # there is no STS

    (buffer,) = json.loads(shop.run("config", "render", "prod", "-e", "dev", "--encrypt").stdout)

    plain, _ = keys.keys.decrypt(b64decode(buffer), "alias/dev-key", {})
    assert plain
    assert "`other` is not known" in shop.run("config", "render", "prod", "-e", "other", code=3).stderr


def test_set_and_get_one_value(shop: Shop, keys: KeyServer) -> None:
    """The value comes by stdin, never as an argument."""
    shop.run("config", "import", stdin=OPEN)
    keys.keys.denied = {"decrypt"}
    shop.run("config", "set", "prod", "slack.token", stdin="héllo\n")
    keys.keys.denied = set()

    assert shop.run("config", "get", "prod", "slack.token").stdout == "héllo\n"
    assert json.loads(shop.run("config", "get", "prod", "nested.a_list.1").stdout) == {
        "username2": "user2", "password2": "prod-pw2",
    }  # fmt: skip
    shop.run("config", "get", "prod", "nested.nothing", code=3)


def test_a_secret_is_not_replaced_by_nothing(shop: Shop, keys: KeyServer) -> None:
    """A variable that is not set says nothing to `printf %s "$TOKEN" | carboy config set`."""
    shop.run("config", "import", stdin=OPEN)
    shop.run("config", "set", "prod", "slack.token", stdin="kept")

    refused = shop.run("config", "set", "prod", "slack.token", stdin="", code=2)

    assert "hint: see what comes into it" in refused.stderr
    assert shop.run("config", "get", "prod", "slack.token").stdout == "kept\n"


def test_check_reports_what_is_wrong_with_and_without_kms(shop: Shop) -> None:
    """MACs take KMS; the structure does not."""
    shop.run("config", "import", stdin=OPEN)
    shop.run("config", "check")
    shop.config.write_text(shop.config.read_text().replace("mac: ", "mac: 0"))

    shop.run("config", "check", "--offline", environ=NOBODY)
    assert "MAC of the stage" in shop.run("config", "check", code=3).stderr


def test_diff_shows_hashes_unless_asked_otherwise(shop: Shop) -> None:
    """Between stages, and since a revision of git."""
    shop.run("config", "import", stdin=OPEN)
    hashed, shown = (shop.run("config", "diff", "prod", "qa", *more).stdout for more in ([], ["--show"]))

    assert "~ password\tmy-prod-password\tmy-dev-password\n" in shown
    assert "~ nested.a_list.0.username1\t" in hashed
    assert "my-prod-password" not in hashed
    assert "foo" not in hashed

    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=shop.folder, env=shop.environ, check=True)
    shop.run("config", "import", stdin=OPEN.replace("foo: bar", "foo: other"))
    assert shop.run("config", "diff", "--rev", "HEAD", "prod", "--show").stdout == "~ foo\tbar\tother\n"
    assert shop.run("config", "diff", "--rev", "HEAD", environ=NOBODY).stdout.startswith("~ foo\t")
    assert shop.refusal("config", "diff", "--rev", "--output=x") == 2


def test_rekey_moves_fleeces_file(shop: Shop, keys: KeyServer) -> None:
    """Its values are decrypted in parallel and sealed."""
    from tests.config.encrypted.kit import Desk

    shop.config.write_text(Desk(keys.keys).fleece())
    shop.run("config", "rekey", code=2)

    shop.run("config", "rekey", "--sealed")

    assert shop.run("config", "export").stdout == OPEN
    assert ":decrypt:" not in shop.config.read_text()


def test_pinned_keys_hold_for_the_command(shop: Shop) -> None:
    """By the same setting as the service's."""
    shop.run("config", "import", stdin=OPEN)

    shop.run("config", "render", "prod", environ={"CONFIG_KMS_KEYS": "123456789012"})
    shop.run("config", "render", "prod", environ={"CONFIG_KMS_KEYS": "999999999999"}, code=3)


def test_git_merges_two_peoples_changes(shop: Shop) -> None:
    """By the merge driver, in a real merge; a conflict is left as git leaves it."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]

    def run_git(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*git, *words], cwd=shop.folder, env=shop.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + done.stderr

    def commit(name: str, text: str) -> None:
        shop.run("config", "import", stdin=text)
        run_git("commit", "-qam", name)

    driver = f"{sys.executable} -m carboy config merge-driver %O %A %B %P"
    run_git("init", "-q")
    run_git("config", "merge.carboy.driver", driver)
    (shop.folder / ".gitattributes").write_text("config.yml merge=carboy\n")
    shop.run("config", "import", stdin=OPEN)
    run_git("add", ".")
    run_git("commit", "-qm", "base")
    run_git("checkout", "-qb", "theirs")
    commit("theirs", OPEN.replace("bob-prod-pw ", "THEIRS      ").replace("foo: bar", "foo: baz"))
    run_git("checkout", "-q", "main")
    commit("ours", OPEN.replace("my-prod-password", "OURS"))

    run_git("merge", "-q", "--no-edit", "theirs")

    rendered = json.loads(shop.run("config", "render", "prod", "--json").stdout)
    assert (rendered["foo"], rendered["password"]) == ("baz", "OURS")
    assert rendered["nested"]["a_list"][0]["password1"] == "THEIRS"
    assert "# who needs it: the mailer" in shop.config.read_text()

    run_git("checkout", "-q", "theirs")
    commit("again", OPEN.replace("my-prod-password", "THEIRS"))
    run_git("checkout", "-q", "main")
    said = run_git("merge", "-q", "--no-edit", "theirs", code=1)
    assert "both sides changed config.password.+prod" in said
    assert "<<<<<<<" in shop.config.read_text()


def test_no_secret_is_written_anywhere(shop: Shop, keys: KeyServer, tmp_path: Path) -> None:
    """Not to the file, the cache, a temporary folder, a message, an argument."""
    marked = "hunter2-8f1c"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environ = {"TMPDIR": str(temporary), "EDITOR": "sed -i s/bar/baz/"}
    text = OPEN.replace("my-prod-password", marked)
    said = [shop.run("config", "import", stdin=text, environ=environ).stderr]
    said.append(shop.run("config", "set", "prod", "a.b", stdin=marked, environ=environ).stderr)
    said.append(shop.run("config", "edit", environ=environ).stderr)
    said.append(shop.run("config", "diff", "prod", "x", environ=environ, code=3).stderr)
    said.append(
        shop.run("config", "import", stdin=text.replace("config:", "config:\n - "), environ=environ, code=3).stderr
    )
    said.append(shop.run("config", "render", "prod", "--python", environ=environ).stdout)
    keys.keys.denied = {"generate_data_key"}
    said.append(shop.run("config", "rekey", environ=environ, code=4).stderr)

    assert marked in shop.run("config", "render", "prod").stdout
    assert not any(marked in text for text in said)
    for path, data in shop.everything_written(temporary).items():
        assert marked.encode() not in data, path
    assert not [name for name in os.listdir("/dev/shm") if name.startswith("carboy-edit-")]
