"""Hosts of RDS are known in every partition, and the hint names their CA bundle."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from carboy.db.tls import _SUFFIXES, Tls, bundle_hint, is_rds
from carboy.errors import ConfigurationError


@pytest.mark.parametrize(
    "host",
    [
        "shop.abc123.eu-west-1.rds.amazonaws.com",
        "shop.cluster-ro-abc123.us-gov-west-1.rds.amazonaws.com",
        "proxy.proxy-abc123.us-east-1.rds.amazonaws.com.",
        "SHOP.ABC123.rds.cn-north-1.amazonaws.com.cn",
        "shop.cluster-abc.rds.cn-northwest-1.amazonaws.com.cn",
        "shop.abc.cn-north-1.rds.amazonaws.com.cn",
        "shop.abc.eusc-de-east-1.rds.amazonaws.eu",
        "shop.abc.us-iso-east-1.rds.c2s.ic.gov",
    ],
)
def test_a_host_of_rds_is_verified(host: str) -> None:
    """Without a setting; case and a final dot do not matter."""
    assert is_rds(host)
    assert Tls(None).verifies(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "rds.amazonaws.com.example.org",
        "shop.rds.amazonaws.com.evil.cn",
        "shop.rds.cn-north-1.amazonaws.com.cn.example.org",
        "shoprds.amazonaws.com",
        "shop.rds.amazonaws.org",
    ],
)
def test_another_host_is_not_one_of_rds(host: str) -> None:
    """However alike."""
    assert not is_rds(host)


def test_the_suffixes_are_those_of_botocore() -> None:
    """A partition that AWS adds is noticed here."""
    text = files("botocore").joinpath("data/partitions.json").read_text("utf-8")
    assert {one["outputs"]["dnsSuffix"] for one in json.loads(text)["partitions"]} == set(_SUFFIXES)


@pytest.mark.parametrize(
    ("host", "part"),
    [
        ("shop.abc.rds.cn-north-1.amazonaws.com.cn", "rds-truststore.s3.cn-north-1.amazonaws.com.cn/global"),
        ("shop.abc.us-gov-west-1.rds.amazonaws.com", "truststore.pki.us-gov-west-1.rds.amazonaws.com/global"),
        ("shop.abc.eu-west-1.rds.amazonaws.com", "//truststore.pki.rds.amazonaws.com/global"),
        ("db.example.org", "DB_TLS_CA"),
        ("shop.abc.us-iso-east-1.rds.c2s.ic.gov", "of RDS for its region"),
    ],
)
def test_the_hint_names_the_bundle_of_the_partition(host: str, part: str) -> None:
    """China and GovCloud have bundles of their own."""
    assert part in bundle_hint(host)


@pytest.mark.parametrize("dialect", ["mysql", "postgresql"])
def test_a_file_that_is_no_pem_is_a_fault_of_the_configuration(dialect: str, tmp_path: Path) -> None:
    """Reported before the server is asked."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="DB_TLS_CA"):
        Tls(path).arguments(dialect, "db.example.org", {})
