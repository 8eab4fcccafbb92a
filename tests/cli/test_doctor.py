"""What the doctor finds outside: AWS, the clock."""

from typing import TYPE_CHECKING

import pytest

from carboy.clock import SYSTEM_CLOCK
from carboy.testing.processes import AwsServer
from carboy.web.diagnosis import compare_clocks

if TYPE_CHECKING:
    from tests.cli.kit import Carboy


def test_where_settings_come_from_aws_the_doctor_says_as_whom(carboy: "Carboy", moto: AwsServer) -> None:
    """The account, what was read, the clock; and who is away, with exit 4."""
    moto.client("secretsmanager").create_secret(Name="doctor/key", SecretString="k")
    key = "aws-secretsmanager:doctor/key"
    environ = {**moto.environment, "MODULES": "carboy.services.archive", "THREATSTACK_API_KEY": key}

    well = carboy("doctor", "--json", **environ)
    found = {check["name"]: check for check in well.json["checks"]}
    assert well.code == 0
    assert found["aws"]["detail"].startswith("account 123456789012, as arn:aws:")
    assert found["secrets"]["detail"].endswith("1 references followed")
    assert found["clock"]["ok"]

    moto.client("secretsmanager").delete_secret(SecretId="doctor/key", ForceDeleteWithoutRecovery=True)
    sick = carboy("doctor", "--json", **environ)
    assert sick.code == 4
    assert "doctor/key" in sick.json["checks"][-1]["detail"]


def test_without_aws_no_call_is_made(carboy: "Carboy") -> None:
    """No finding, and no call that would wait for an address that is not there."""
    well = carboy("doctor", "--json", AWS_ENDPOINT_URL="http://127.0.0.1:1")

    assert not {"aws", "secrets", "kms"} & {check["name"] for check in well.json["checks"]}


@pytest.mark.parametrize(("off_ms", "ok"), [(0, True), (59_000, True), (-61_000, False), (400_000, False)])
def test_a_clock_that_is_a_minute_off_is_reported(off_ms: int, ok: bool) -> None:
    """In either direction, before AWS refuses what it signs."""
    finding = compare_clocks("AWS", SYSTEM_CLOCK.now_ms() + off_ms)

    assert finding.ok is ok
    assert ("from the network" in finding.hint) is not ok
