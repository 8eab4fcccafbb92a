"""The templates of the documentation are what their services take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = sorted((EXAMPLES / "database").glob("*.yaml"))
pytestmark = pytest.mark.docs


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_cloudformation_finds_no_fault_in_a_template(template: Path) -> None:
    """Not even what is only informational."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("cfn-lint"),
            "--include-checks",
            "I",
            "--regions",
            "eu-west-1",
            "--",
            str(template),
        ],
        env={**os.environ, "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_template_of_the_database_makes_the_two_parameters_and_no_public_address() -> None:
    """What the how-to promises, by name."""
    resources = yaml.load((EXAMPLES / "database" / "aurora.yaml").read_text("utf-8"), _Plain)["Resources"]  # noqa: S506

    names = [one["Properties"]["Name"] for one in resources.values() if one["Type"] == "AWS::SSM::Parameter"]
    assert names == ["/${Profile}_${App}/db/secret_name", "/${Profile}_${App}/db/host"]
    assert resources["Writer"]["Properties"]["PubliclyAccessible"] is False
    assert resources["Parameters"]["Properties"]["Parameters"]["character_set_server"] == "utf8mb4"
    assert "SourceSecurityGroupId" in resources["SecurityGroup"]["Properties"]["SecurityGroupIngress"][0]


class _Plain(yaml.SafeLoader):
    """Reads `!Sub`, `!Ref` and the like as what stands behind them."""


def _plain(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_mapping(node)  # type: ignore[arg-type]


_Plain.add_multi_constructor("!", _plain)
