"""`carboy config render --parameter-store`, against moto's server."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli.encrypted_kit import OPEN, Shop

from carboy.aws.upload import check_prefix
from carboy.errors import UsageError
from carboy.testing.processes import AwsServer

UPLOAD = ("config", "render", "prod", "--parameter-store", "/prod_orders")


@pytest.fixture
def shop(tmp_path: Path, moto: AwsServer) -> Shop:
    moto.reset()
    kms = moto.client("kms")
    for name in ("prod-key", "dev-key", "ssm-key"):
        kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    folder = tmp_path / "work"
    folder.mkdir()
    made = Shop(folder, dict(moto.environment))
    made.run("config", "import", stdin=OPEN.replace("foo: bar", "foo: bar\n  debug: false\n  ratio: 1.5"))
    return made


def stored(moto: AwsServer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for page in moto.client("ssm").get_paginator("get_parameters_by_path").paginate(
        Path="/prod_orders", Recursive=True, WithDecryption=True
    ):  # fmt: skip
        found |= {item["Name"]: item for item in page["Parameters"]}
    return found


def test_values_are_uploaded_once(shop: Shop, moto: AwsServer) -> None:
    """Scalars as text, lists as JSON, all encrypted; equal values keep their version; the account is printed."""
    dry = shop.run(*UPLOAD, "--dry-run").stdout
    assert "create /prod_orders/password\n" in dry
    assert "my-prod-password" not in dry
    assert not stored(moto)

    done = shop.run(*UPLOAD)

    found = stored(moto)
    assert "123456789012 (us-east-1)" in done.stderr
    assert {name: item["Value"] for name, item in found.items() if not name.endswith("_version")} == {
        "/prod_orders/foo": "bar",
        "/prod_orders/debug": "false",
        "/prod_orders/ratio": "1.5",
        "/prod_orders/password": "my-prod-password",
        "/prod_orders/nested/inner_var": "value",
        "/prod_orders/nested/a_list":
            '[{"username1":"bob-prod","password1":"bob-prod-pw"},{"username2":"user2","password2":"prod-pw2"}]',
    }  # fmt: skip
    assert {item["Type"] for item in found.values()} == {"SecureString"}
    shop.run("config", "set", "prod", "password", stdin="new")
    assert "0 created, 1 changed, 0 deleted, 5 left" in shop.run(*UPLOAD).stderr
    again = stored(moto)
    assert {name for name in again if again[name]["Version"] != found[name]["Version"]} == {
        "/prod_orders/password", "/prod_orders/_version",
    }  # fmt: skip


def test_nothing_is_written_when_one_value_is_bad(shop: Shop, moto: AwsServer) -> None:
    """All bad values are reported at once."""
    shop.run("config", "import", stdin=OPEN.replace("foo: bar", f"foo: ''\n  sp ace: 1\n  big: {'x' * 4097}"))

    done = shop.run(*UPLOAD, code=3)

    assert not stored(moto)
    for said in (
        "`/prod_orders/foo`: is empty",
        "`/prod_orders/sp ace`: a name has",
        "`/prod_orders/big`: has 4,097 bytes",
    ):
        assert said.replace("`", "") in done.stderr.replace("`", "")
    assert "x" * 100 not in done.stderr
    shop.run("config", "import", stdin=OPEN.replace("foo: bar", f"big: {'x' * 4097}"))
    shop.run(*UPLOAD, "--tier", "Advanced")
    assert len(stored(moto)["/prod_orders/big"]["Value"]) == 4097


def test_a_prefix_is_a_path() -> None:
    """Else it is misuse."""
    for prefix in ("prod", "/a b", "/aws/x", "/" + "/".join("abcdefghijklmnop")):
        with pytest.raises(UsageError):
            check_prefix(prefix)


def test_what_is_gone_is_deleted_after_asking(shop: Shop, moto: AwsServer) -> None:
    """And only with --prune."""
    shop.run(*UPLOAD)
    shop.run("config", "import", stdin=OPEN.replace("  foo: bar", "  fu: bar"))
    assert "0 deleted" in shop.run(*UPLOAD).stderr

    shop.run(*UPLOAD, "--prune", stdin="n\n", code=130)
    assert "/prod_orders/foo" in stored(moto)
    shop.run(*UPLOAD, "--prune", stdin="y\n")
    assert "/prod_orders/foo" not in stored(moto)
    assert "/prod_orders/_version" in stored(moto)


def test_the_kms_key_of_the_parameters_is_looked_up_once(shop: Shop, moto: AwsServer) -> None:
    """By alias or id; another key encrypts all again; a missing key is an error before the first write."""
    shop.run(*UPLOAD, "--ssm-kms-key", "nobodys", code=4)
    assert not stored(moto)

    shop.run(*UPLOAD)
    assert "6 changed" in shop.run(*UPLOAD, "--ssm-kms-key", "alias/ssm-key").stderr

    arn = moto.client("kms").describe_key(KeyId="alias/ssm-key")["KeyMetadata"]["Arn"]
    described = moto.client("ssm").describe_parameters()["Parameters"]
    assert {item["KeyId"] for item in described} == {arn}


def test_an_upload_is_rolled_back(shop: Shop, moto: AwsServer) -> None:
    """Parameter Store's own history is used."""
    shop.run(*UPLOAD)
    shop.run("config", "import", stdin=OPEN.replace("foo: bar", "foo: later\n  added: 1"))
    shop.run(*UPLOAD, "--yes")
    listed = shop.run("config", "history", "prod", "--parameter-store", "/prod_orders").stdout

    assert [line.split("\t")[0] for line in listed.splitlines()] == ["2", "1"]
    shop.run("config", "rollback", "prod", "1", "--parameter-store", "/prod_orders", "--yes")
    found = stored(moto)
    assert found["/prod_orders/foo"]["Value"] == "bar"
    assert "/prod_orders/added" not in found
