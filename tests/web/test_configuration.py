"""An application whose settings and database login are in AWS: found, counted, refreshed; and one without AWS."""

import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from tests.lab.rotation import RotatingSecret

from carboy import logs
from carboy.aws import client
from carboy.aws.clients import forget
from carboy.cli.main import cli
from carboy.config import Reference
from carboy.db import upgrade
from carboy.errors import ConfigurationError
from carboy.testing.processes import AwsServer, DatabaseServer
from carboy.web import create_app, init_app, runtime


@pytest.fixture(autouse=True)
def aws(moto: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AwsServer]:
    """Moto, empty, as what the process's own session finds; an empty project."""
    moto.reset()
    for name, value in {**moto.environment, "FLASK_PROFILE": "dev", "PARAMETER_STORE": "on"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    forget()
    yield moto
    forget()


def _put(aws: AwsServer, **values: str) -> None:
    ssm = aws.client("ssm")
    for name, value in {"secret_key": "k" * 32, **values}.items():
        path = f"/dev_flask/{name.replace('__', '/')}"
        ssm.put_parameter(Name=path, Value=value, Type="SecureString", Overwrite=True)


def _count() -> Counter[str]:
    calls: Counter[str] = Counter()
    for service in ("ssm", "secretsmanager"):

        def note(model: Any, **_: Any) -> None:
            calls[model.name] += 1

        client(service).meta.events.register("before-call.*", note)
    return calls


@pytest.mark.parametrize("name", ["mariadb_server", "postgres_server"])
def test_a_service_finds_its_database_by_two_parameters_and_a_secret(
    aws: AwsServer, name: str, request: pytest.FixtureRequest
) -> None:
    """The same code runs on SQLite on `local`; the host of the parameter is stronger than the secret's."""
    server: DatabaseServer = request.getfixturevalue(name)
    secret = RotatingSecret(server, aws, host="old.example", dbname=server.create_database())
    _put(aws, db__secret_name=secret.name, db__host=server.host, db__tls_ca=str(server.ca_path))
    app = create_app(modules="")
    held = runtime(app)

    assert upgrade(held.engine)

    assert app.test_client().get("/readyz").status_code == 200
    assert app.config["PROFILE"] == "dev"
    assert app.config["DB_HOST"] == server.host
    assert held.engine.dialect.name == server.dialect
    held.close()
    local = create_app("local", modules="", parameter_store="off")
    assert runtime(local).engine.dialect.name == "sqlite"
    runtime(local).close()


def test_an_existing_application_adopts_it_in_two_lines(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And Flask's own way of reading the environment goes on working beside it."""
    _put(aws, feature="from-store")
    monkeypatch.setenv("FLASK_LIMITS__SIZE", "5")
    app = Flask("theirs")
    app.config.from_prefixed_env()

    init_app(app)

    assert app.config["FEATURE"] == "from-store"
    assert app.config["PROFILE"] == "dev"
    assert app.config["LIMITS"] == {"SIZE": 5}


def test_a_hundred_parameters_and_twenty_secrets_cost_eleven_calls(aws: AwsServer) -> None:
    """Ten pages and one batch (moto, unlike AWS, has an empty page after a last one that is full)."""
    admin = aws.client("secretsmanager")
    for number in range(20):
        admin.create_secret(Name=f"/dev/s{number}", SecretString=json.dumps({"password": f"p-{number}"}))
    _put(aws, **{f"own__value_{number}": str(number) for number in range(78)})
    _put(aws, **{f"own__secret_{number}": f"aws-secretsmanager:/dev/s{number}#password" for number in range(20)})
    calls = _count()

    app = create_app(modules="")

    assert app.config["OWN_SECRET_7"] == "p-7"
    assert app.config["OWN_VALUE_77"] == 77
    assert calls == {"GetParametersByPath": 10, "BatchGetSecretValue": 1}


def test_references_at_any_depth_come_in_batches(aws: AwsServer, tmp_path: Path) -> None:
    """A hundred parameters in tens, side by side; what a vault returns is never a reference again."""
    ssm = aws.client("ssm")
    aws.client("secretsmanager").create_secret(Name="/dev/deep", SecretString='{"password": "1e5"}')
    for number in range(99):
        ssm.put_parameter(Name=f"/shared/p{number}", Value=str(number), Type="String")
    ssm.put_parameter(Name="/shared/link", Value="aws-secretsmanager:/dev/deep#password", Type="String")
    lines = [f'p{number} = "aws-parameterstore:/shared/p{number}"' for number in range(99)]
    text = "\n".join(["[default]", 'list = [{x = "aws-parameterstore:/shared/link"}]', *lines])
    (tmp_path / "carboy.toml").write_text(text, "utf-8")
    calls = _count()

    app = create_app(modules="", parameter_store="off", secret_key="k")

    assert app.config["LIST"] == [{"x": "aws-secretsmanager:/dev/deep#password"}]
    assert app.config["P98"] == "98"
    assert calls == {"GetParameters": 10}


def test_every_fault_is_reported_at_once_also_those_of_aws(aws: AwsServer) -> None:
    """With the name, the reference, and what would do."""
    _put(aws, jobs__concurrency="many", db__host="aws-parameterstore:/shared/nowhere")
    with pytest.raises(ConfigurationError) as caught:
        create_app(modules="", twilio_token="aws-secretsmanager:/dev/nowhere#x")
    told = {fault.pointer: fault.detail for fault in caught.value.faults}
    assert set(told) == {"JOBS_CONCURRENCY", "DB_HOST", "TWILIO_TOKEN"}
    assert "`aws-parameterstore:/shared/nowhere` is not there" in told["DB_HOST"]


def test_the_closed_file_is_opened_by_kms_for_the_stage_of_the_profile(aws: AwsServer, tmp_path: Path) -> None:
    """Weaker than Parameter Store, stronger than `carboy.toml`; an entry that may not be read is reported."""
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = base64.b64encode(kms.encrypt(KeyId=key, Plaintext=b"from-kms")["CiphertextBlob"]).decode()
    (tmp_path / "config.yml").write_text(
        f"stages: {{dev: {{environment: e, key: '{key}'}}}}\n"
        f"config:\n  own: {{password: {{+dev: ':decrypt:{sealed}'}}, name: closed}}\n  feature: closed\n"
    )
    (tmp_path / "carboy.toml").write_text('[default]\nfeature = "toml"\n', "utf-8")
    _put(aws, own__name="store")

    app = create_app(modules="", config_file="config.yml")

    assert [app.config[name] for name in ("OWN_PASSWORD", "OWN_NAME", "FEATURE")] == ["from-kms", "store", "closed"]
    with pytest.raises(ConfigurationError, match=r"CONFIG_FILE.*KMS keys are pinned"):
        create_app(modules="", config_file="config.yml", config_kms_keys=key)


def test_modules_may_be_named_in_parameter_store(aws: AwsServer) -> None:
    """They are known before the rest is checked."""
    _put(aws, modules="nowhere.to.be.found")
    with pytest.raises(ConfigurationError, match="nowhere"):
        create_app()


def test_a_request_sees_one_state_from_start_to_end(aws: AwsServer) -> None:
    """A refresh in its middle is for the next one."""
    _put(aws, feature="a")
    app = create_app(modules="", secret_min_interval_s=0, auth="on")
    held = runtime(app)
    live = held.centre.live
    assert live is not None

    @app.get("/feature")
    def feature() -> list[str]:
        before = held.settings.live("FEATURE")
        _put(aws, feature="b")
        assert live.refresh()
        return [before, held.settings.live("FEATURE"), app.config["FEATURE"]]

    assert app.test_client().get("/feature").json == ["a", "a", "a"]
    assert held.settings.live("FEATURE") == "b"


def test_a_secret_is_looked_up_again_by_a_refresh(aws: AwsServer) -> None:
    """Not from what is kept."""
    admin = aws.client("secretsmanager")
    admin.create_secret(Name="/dev/s", SecretString="old-value")
    _put(aws, own="aws-secretsmanager:/dev/s")
    held = runtime(create_app(modules="", secret_min_interval_s=0))
    admin.put_secret_value(SecretId="/dev/s", SecretString="new-value")
    assert held.settings.live("OWN") == "old-value"

    assert held.centre.live is not None
    held.centre.live.refresh()

    assert held.settings.live("OWN") == "new-value"
    assert held.settings.references == {Reference("aws-secretsmanager", "/dev/s")}
    assert held.centre.secrets.get("/dev/s").text == "new-value"


def test_no_secret_is_in_what_is_shown_logged_or_reported(aws: AwsServer, capfd: pytest.CaptureFixture[str]) -> None:
    """`settings show`, `check`, `repr`, log lines, the faults of a start that failed."""
    marked = {name: f"marked-{name}-0123456789" for name in ("field", "text", "parameter", "key")}
    admin = aws.client("secretsmanager")
    admin.create_secret(Name="/dev/json", SecretString=json.dumps({"password": marked["field"], "user": "u"}))
    admin.create_secret(Name="/dev/text", SecretString=marked["text"])
    _put(
        aws,
        modules="carboy.services.archive",
        secret_key=marked["key"],
        own__password="aws-secretsmanager:/dev/json#password",
        own__deep="aws-secretsmanager:/dev/text",
        own__token=marked["parameter"],
    )
    shown = [CliRunner().invoke(cli, ["settings", *words]) for words in (["show"], ["show", "--json"], ["check"])]
    app = create_app(modules="")
    held = runtime(app)
    logs.get_logger("x").info("said", values=[held.settings["OWN_PASSWORD"], f"as {held.settings['OWN_DEEP']}"])
    with pytest.raises(ConfigurationError) as caught:
        create_app(modules="", jobs_concurrency="aws-secretsmanager:/dev/text")
    written = (
        f"{[one.output for one in shown]} {held.settings!r} {list(held.settings)} {caught.value!r} {capfd.readouterr()}"
    )

    assert [one.exit_code for one in shown] == [0, 0, 0], [one.exception for one in shown]
    assert "OWN_PASSWORD" in written
    for text in marked.values():
        assert text not in written


@pytest.mark.parametrize("profile", ["local", "prod"])
def test_without_a_setting_of_aws_boto3_is_never_imported(profile: str, tmp_path: Path) -> None:
    """It costs a quarter of a second."""
    code = f"""
import sys
from carboy.web import create_app, runtime
app = create_app({profile!r}, secret_key="k", modules="", parameter_store="off")
runtime(app).settings.live("DB_HOST")
app.test_client().get("/readyz")
sys.exit("boto3" in sys.modules or "botocore" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
