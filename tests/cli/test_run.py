"""`carboy run` from the outside; STS is moto's server, or a server that shows what it was asked."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.cli.encrypted_kit import OPEN, Shop
from tests.lab.rackspace import FakeRackspace

from carboy.testing import LoopbackServer
from carboy.testing.answers import Answer
from carboy.testing.processes import AwsServer

ENVIRONMENTS = """\
environments:
  - {name: dev, account: '123456789012', region: eu-west-1}
  - {name: legacy, account: '123456789012', rs_username_var: MY_USER, rs_apikey_var: MY_KEY}
  - {name: prod, account: '210987654321', role: LambdaDeployRole}
  - {name: china, account: '210987654321', role: path/Deploy, region: cn-north-1}
  - {name: chain, account: '210987654321', role: [Hub, 'arn:aws:iam::333333333333:role/Spoke']}
  - {name: mfa, account: '210987654321', role: Deploy, mfa_serial: 'arn:aws:iam::123456789012:mfa/me'}
"""
SHOW = [sys.executable, "-c", "import os, json, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"]
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAOWN", "AWS_SECRET_ACCESS_KEY": "own-secret", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true", "CARBOY_VERIFY_ACCOUNT": "off",
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "environments.yml").write_text(ENVIRONMENTS)
    return Shop(folder, dict(KEYS))


def show(shop: Shop, *words: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables that a child gets."""
    child: dict[str, str] = json.loads(shop.run("run", *words, "--", *SHOW, environ=environ).stdout)[0]
    return child


def test_arguments_are_passed_as_they_are(shop: Shop) -> None:
    """Fleece ran `it's; touch pwned #` in a shell."""
    words = ["it's; touch pwned #", "", "a b", "$HOME", "--", "-e", "é😀", "*", "\n"]

    done = shop.run("run", "-e", "dev", "--", *SHOW, *words)

    assert json.loads(done.stdout)[1] == words
    assert not (shop.folder / "pwned").exists()
    assert json.loads(shop.run("run", "-e", "dev", *SHOW, "x").stdout)[1] == ["x"]


def test_one_string_is_run_by_a_shell_as_asked(shop: Shop) -> None:
    """And after `--` it is not."""
    assert shop.run("run", "-e", "dev", "printf 'a\\nb\\n' | head -1; echo $AWS_REGION").stdout == "a\neu-west-1\n"
    assert "`no such; thing` was not started" in shop.run("run", "-e", "dev", "--", "no such; thing", code=127).stderr
    shop.run("run", "-e", "dev", "--", str(shop.folder), code=126)


@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_code_is_the_commands_own(shop: Shop, code: int) -> None:
    """Any exit code is passed on."""
    shop.run("run", "-e", "dev", f"exit {code}", code=code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command(shop: Shop, number: signal.Signals) -> None:
    """It decides what they mean."""
    program = (
        "import signal, time\n"
        f"signal.signal({int(number)}, lambda *_: exit(42))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        shop.command("run", "-e", "dev", "--", sys.executable, "-c", program), cwd=shop.folder, env=shop.environ,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(number)

    process.communicate(timeout=30)
    assert process.returncode == 42


def test_a_broken_pipe_ends_a_command_as_a_shell_has_it(shop: Shop) -> None:
    """Python ignores SIGPIPE, and a child would inherit that."""
    said = shop.run("run", "-e", "dev", "grep SigIgn /proc/self/status").stdout if sys.platform == "linux" else "0 0"

    assert not int(said.split()[1], 16) & (1 << (signal.SIGPIPE - 1))


def test_a_command_that_a_signal_ends_is_seen_so(shop: Shop) -> None:
    """The parent process sees the signal."""
    shop.run("run", "-e", "dev", "kill -TERM $$", code=-signal.SIGTERM)


def test_a_role_is_assumed_in_the_environments_account(shop: Shop, moto: AwsServer) -> None:
    """And the child has its credentials, and none of what led to them."""
    environ = {**moto.environment, "RS_USERNAME": "", "RS_API_KEY": ""}

    child = show(shop, "-e", "prod", environ=environ)

    assert child["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert child["AWS_SESSION_TOKEN"]
    assert child["AWS_REGION"] == child["AWS_DEFAULT_REGION"] == "us-east-1"
    assert not {"AWS_PROFILE", "RS_USERNAME", "RS_API_KEY"} & set(child)
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    arn = shop.run("run", "-e", "prod", "--", sys.executable, "-c", program, environ=environ).stdout
    assert arn == "arn:aws:sts::210987654321:assumed-role/LambdaDeployRole/carboy\n"


def test_a_stage_leads_to_its_environment(shop: Shop, moto: AwsServer) -> None:
    """By the closed file; any name that an expression matches."""
    shop.config.write_text(OPEN)

    assert show(shop, "--stage", "prod", environ=dict(moto.environment))["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert show(shop, "-s", "bob", environ=dict(moto.environment))["AWS_REGION"] == "eu-west-1"


def sts(request: object) -> Answer:
    body = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>"
        "<SessionToken>role-session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    return Answer(200, body.encode(), {"Content-Type": "text/xml"})


def asked(server: LoopbackServer) -> list[dict[str, str]]:
    return [{name: value[0] for name, value in parse_qs(request.body.decode()).items()} for request in server.requests]


def test_partitions_chains_and_mfa_are_as_aws_has_them(shop: Shop) -> None:
    """`arn:aws:sts::…:role/` is no role; China's ARNs differ; only the first role of a chain takes the code."""
    with LoopbackServer(sts) as server:
        environ = {"AWS_ENDPOINT_URL_STS": server.url, "CARBOY_CACHE": "off"}
        for name, stdin in (("prod", ""), ("china", ""), ("chain", ""), ("mfa", "123456\n")):
            shop.run("run", "-e", name, "--credential-process", stdin=stdin, environ=environ)
        shop.run("run", "-a", "444444444444", "-r", "Ops", "--duration", "7200", "--print-env", environ=environ)
        found = asked(server)

    assert [one["RoleArn"] for one in found] == [
        "arn:aws:iam::210987654321:role/LambdaDeployRole",
        "arn:aws-cn:iam::210987654321:role/path/Deploy",
        "arn:aws:iam::210987654321:role/Hub",
        "arn:aws:iam::333333333333:role/Spoke",
        "arn:aws:iam::210987654321:role/Deploy",
        "arn:aws:iam::444444444444:role/Ops",
    ]
    assert [one.get("TokenCode") for one in found] == [None] * 4 + ["123456", None]
    assert found[-1]["DurationSeconds"] == "7200"


def test_credentials_are_kept_between_commands(shop: Shop) -> None:
    """In a file of mode 0600, and nowhere else."""
    with LoopbackServer(sts) as server:
        environ = {"AWS_ENDPOINT_URL_STS": server.url}
        first = json.loads(shop.run("run", "-e", "prod", "--credential-process", environ=environ).stdout)
        second = json.loads(shop.run("run", "-e", "prod", "--credential-process", environ=environ).stdout)
        assert len(server.requests) == 1

    assert first == second == {
        "Version": 1, "AccessKeyId": "ASIAROLE", "SecretAccessKey": "role-secret", "SessionToken": "role-session",
        "Expiration": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    (kept,) = (path for path, data in shop.everything_written().items() if b"role-secret" in data)
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_shell_evals_what_is_printed(shop: Shop) -> None:
    """Any value survives the shell."""
    shop.environ["AWS_SECRET_ACCESS_KEY"] = "it's; touch pwned #"
    printed = shop.run("run", "-e", "dev", "--print-env").stdout

    done = subprocess.run(
        ["sh", "-c", 'eval "$1"; echo "$AWS_SECRET_ACCESS_KEY|$AWS_REGION|${AWS_PROFILE-gone}"', "sh", printed],
        cwd=shop.folder, env={"PATH": os.environ["PATH"], "AWS_PROFILE": "x"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "it's; touch pwned #|eu-west-1|gone\n"
    assert not (shop.folder / "pwned").exists()


def test_rackspace_lends_where_an_environment_or_an_option_says_so(shop: Shop) -> None:
    """The child gets nothing of Rackspace."""
    with FakeRackspace() as server:
        environ = {
            **server.environment,
            "MY_USER": "rs-user",
            "MY_KEY": "rs-key",
            "RS_USERNAME": "x",
            "RS_API_KEY": "y",
        }
        child = show(shop, "-e", "legacy", environ=environ)
        assert child["AWS_SESSION_TOKEN"] == "faws-session-1"
        assert not {"MY_USER", "MY_KEY", "RS_USERNAME", "RS_API_KEY"} & set(child)
        assert not any("rs-key" in value or "rs-token" in value for value in child.values())

        by_option = show(shop, "-a", "123456789012", "-u", "rs-user", "-k", "rs-key", environ=server.environment)
        assert by_option["AWS_SECRET_ACCESS_KEY"].startswith("faws-secret-")
        done = shop.run(
            "run", "-a", "999999999999", "-u", "rs-user", "-k", "rs-key", "x", environ=server.environment, code=4
        )
        assert "check the user name, the API key and the account's number" in done.stderr


def test_misuse_is_2(shop: Shop) -> None:
    """Nothing is run."""
    for words in (
        ["-a", "123456789012", "-e", "dev", "true"],
        ["-a", "123456789012", "-s", "dev", "true"],
        ["-e", "dev", "-r", "Deploy", "true"],
        ["-e", "dev", "--profile", "x", "true"],
        ["-a", "12", "true"],
        ["true"],
        ["-e", "dev"],
        ["-e", "dev", "--print-env", "true"],
        ["-e", "dev", "--print-env", "--credential-process"],
        ["-a", "123456789012", "-u", "rs-user", "true"],
    ):
        assert shop.refusal("run", *words) == 2


def test_what_is_not_there_is_3(shop: Shop) -> None:
    """An environment, a file, a profile, a stage."""
    for words in (["-e", "nope"], ["-c", "nope.yml", "-e", "dev"], ["--profile", "nope"], ["-s", "prod"]):
        assert shop.refusal("run", *words, "true") == 3


def test_a_profile_may_run_a_program_of_its_own(shop: Shop) -> None:
    """AWS's own chain is used: SSO, credential_process and the rest."""
    aws = Path(shop.environ["HOME"], ".aws")
    aws.mkdir()
    made = json.dumps({"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": "s", "SessionToken": "t"})
    (shop.folder / "made.json").write_text(made)
    (aws / "config").write_text(
        f"[profile other]\nregion = eu-central-1\ncredential_process = cat {shop.folder}/made.json\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        del shop.environ[name]

    child = show(shop, "--profile", "other")

    assert (child["AWS_ACCESS_KEY_ID"], child["AWS_REGION"]) == ("AKIAPROC", "eu-central-1")
    assert "there are no AWS credentials" in shop.run("run", "-e", "dev", "true", code=4).stderr


def test_the_account_is_verified_before_anything_runs(shop: Shop, moto: AwsServer) -> None:
    """Without a role AWS's own chain decides whose credentials these are."""
    environ = {"AWS_ENDPOINT_URL": moto.url, "CARBOY_CACHE": "off", "CARBOY_VERIFY_ACCOUNT": ""}
    (shop.folder / "environments.yml").write_text(
        "environments:\n  - {name: wrong, account: '999999999999'}\n  - {name: right, account: '123456789012'}\n"
    )

    for words in (("-a", "999999999999"), ("-e", "wrong")):
        done = shop.run("run", *words, "--", *SHOW, environ=environ, code=3)
        assert "999999999999" in done.stderr
        assert "123456789012" in done.stderr
        assert done.stdout == ""
    assert show(shop, "-e", "right", environ=environ)["AWS_ACCESS_KEY_ID"] == "AKIAOWN"


@pytest.mark.parametrize("words", [["-e", "dev"], ["-a", "123456789012"]])
@pytest.mark.parametrize("way", [["--", *SHOW], ["--print-env"], ["--credential-process"]])
def test_credentials_of_an_unverified_account_are_not_used(shop: Shop, words: list[str], way: list[str]) -> None:
    """Where STS gives no answer nothing runs or is printed, unless the variable says so; then nothing is cached."""
    environ = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9", "CARBOY_VERIFY_ACCOUNT": ""}

    for _ in range(2):
        done = shop.run("run", *words, *way, environ=environ, code=4)

        assert done.stdout == ""
        assert "the account 123456789012 was not verified" in done.stderr
        assert "CARBOY_VERIFY_ACCOUNT=off" in done.stderr
        assert "AKIAOWN" in shop.run("run", *words, *way, environ={**environ, "CARBOY_VERIFY_ACCOUNT": "off"}).stdout
