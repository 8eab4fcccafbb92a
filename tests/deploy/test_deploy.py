"""What is in `deploy/` is right by the tools of each platform, and each tool is seen to find a fault."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy import checks
from tests.deploy.checks import DEPLOY, ROOT

from carboy.config import BaseSettings, settings_of
from carboy.scaffold import CHOICES, Choices, make_service
from carboy.serve import ServeSettings
from carboy.services.archive.settings import ArchiveSettings
from carboy.services.sms.settings import SmsSettings
from carboy.web.assembly import _OWN

Check = Callable[[Path], str]

CASES: list[tuple[str, Check, str, str]] = [
    ("lambda/template.yaml", checks.cfn_lint, "VisibilityTimeout: 720", "VisibilityTimeout: soon"),
    ("ecs/roles.yaml", checks.cfn_lint, "Action: sts:AssumeRole", "Action: {}"),
    ("ecs/service.yaml", checks.cfn_lint, "TargetType: ip", "TargetType: address"),
    ("ecs/web.json", checks.ecs_task, '"essential": true', '"essential": "yes"'),
    ("ecs/worker.json", checks.ecs_task, '"family":', '"familiy":'),
    ("container/Dockerfile", checks.hadolint, "pip install --no-cache-dir uv==0.13.8", "pip install uv"),
    ("container/compose.yaml", checks.compose, "command: [worker]", "command: {worker: 1}"),
    ("container/nginx.conf", checks.nginx, "server_tokens off;", "server_tokens off"),
    ("gunicorn.conf.py", checks.gunicorn, "threads = 32", 'threads = "many"'),
    ("systemd/carboy.service", checks.systemd, "ProtectSystem=strict", "ProtectSystem=very"),
    ("systemd/carboy-worker.service", checks.systemd, "CapabilityBoundingSet=\n", ""),
    ("kubernetes/namespace.yaml", checks.kubernetes, "kind: Namespace", "kind: Namespace\nspec: {closed: true}"),
    ("kubernetes/common.yaml", checks.kubernetes, "policyTypes: [Ingress, Egress]", "policyTypes: yes"),
    ("kubernetes/web.yaml", checks.kubernetes, "containerPort: 8000", "containerPort: http"),
    ("kubernetes/worker.yaml", checks.kubernetes, "livenessProbe:", "livelyProbe:"),
]
IDS = [case[0] for case in CASES]


def _copy(name: str, folder: Path, old: str = "", new: str = "") -> Path:
    text = (DEPLOY / name).read_text("utf-8")
    assert old in text, f"`{old}` is not in {name} any more: break it in another way"
    copy = folder / Path(name).name
    copy.write_text(text.replace(old, new) if old else text, "utf-8")
    return copy


@pytest.mark.parametrize(("name", "check", "old", "new"), CASES, ids=IDS)
def test_a_file_passes_its_check(name: str, check: Check, old: str, new: str, tmp_path: Path) -> None:
    """A deployment meets no refusal that a check could have found."""
    assert check(_copy(name, tmp_path)) == ""


@pytest.mark.parametrize(("name", "check", "old", "new"), CASES, ids=IDS)
def test_a_broken_copy_fails_its_check(name: str, check: Check, old: str, new: str, tmp_path: Path) -> None:
    """The check is awake."""
    assert check(_copy(name, tmp_path, old, new)) != ""


@pytest.fixture(scope="module")
def checkov_report(checkov_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Checkov says of all of it, and of a copy that is broken; in one run, as it takes long to start."""
    folder = tmp_path_factory.mktemp("checkov")
    shutil.copytree(DEPLOY, folder / "whole")
    shutil.copytree(DEPLOY, folder / "broken")
    for chosen in ([], ["db"], ["lambda"], CHOICES):
        make_service(folder / "new" / f"having_{''.join(chosen)}", Choices(frozenset(chosen)))
    for name, old, new in (
        ("lambda/template.yaml", "BlockPublicAcls: true", "BlockPublicAcls: false"),
        ("lambda/template.yaml", "KmsMasterKeyId: !Ref Key\n      Mess", "Mess"),
        ("ecs/roles.yaml", "      KmsKeyId: !Ref KmsKeyArn\n", ""),
        ("container/Dockerfile", "USER 10001:10001\n", ""),
        ("kubernetes/web.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    ):
        path = folder / "broken" / name
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
    frameworks = ("cloudformation", "dockerfile", "kubernetes")
    ran = subprocess.run(
        [checkov_binary, "--skip-download", "-o", "json", "-d", str(folder), "--framework", *frameworks],
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    reports = json.loads(ran.stdout)
    assert {report["check_type"] for report in reports} == set(frameworks), ran.stderr[-2000:]

    def results(part: str, how: str) -> list[dict[str, Any]]:
        found = [one for report in reports for one in report["results"][f"{how}_checks"]]
        return [one for one in found if f"/{part}/" in one["file_path"]]

    return results


SKIPPED = {"CKV_AWS_18", "CKV_AWS_117", "CKV_AWS_272", "CKV_K8S_11", "CKV_K8S_43"}
SKIPPED_NEW = {"CKV_AWS_27", "CKV_AWS_115", "CKV_AWS_116", "CKV_AWS_117", "CKV_AWS_149", "CKV_AWS_173", "CKV_AWS_272"}


@pytest.mark.parametrize(("part", "skips", "least"), [("whole", SKIPPED, 250), ("new", SKIPPED_NEW, 190)])
def test_checkov_finds_nothing_and_what_it_is_to_skip_is_given_a_reason(
    checkov_report: Any, part: str, skips: set[str], least: int
) -> None:
    """In the gateway's files and in those of new services; the skips are few, and stand where they count."""
    skipped = checkov_report(part, "skipped")

    assert [(one["check_id"], one["file_path"], one["resource"]) for one in checkov_report(part, "failed")] == []
    assert {one["check_id"] for one in skipped} <= skips
    assert all(len(one["check_result"]["suppress_comment"]) > 20 for one in skipped)
    assert len(checkov_report(part, "passed")) > least


def test_checkov_finds_what_is_broken(checkov_report: Any) -> None:
    """A public bucket, a queue and a log in the clear, a container of root's, one whose files can be changed."""
    assert {"CKV_AWS_53", "CKV_AWS_27", "CKV_AWS_158", "CKV_DOCKER_3", "CKV_K8S_22"} <= {
        one["check_id"] for one in checkov_report("broken", "failed")
    }


# --- what holds between the files ---


class _Loader(yaml.CSafeLoader):
    """Reads CloudFormation's short forms as what they are given."""


def _short_form(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            return loader.construct_scalar(node)
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case _:
            return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _short_form)


def _load(name: str) -> list[Any]:
    return list(yaml.load_all((DEPLOY / name).read_text("utf-8"), _Loader))


def _environments() -> Iterator[tuple[str, Mapping[str, Any]]]:
    template = _load("lambda/template.yaml")[0]
    yield "lambda", template["Globals"]["Function"]["Environment"]["Variables"]
    for name in ("web", "worker", "migrate"):
        yield f"compose {name}", _load("container/compose.yaml")[0]["services"][name]["environment"]
    yield "kubernetes", next(one["data"] for one in _load("kubernetes/common.yaml") if one["kind"] == "ConfigMap")
    for name in ("web", "worker"):
        for container in _load(f"ecs/{name}.json")[0]["containerDefinitions"]:
            yield f"ecs {name}", {one["name"]: one["value"] for one in container["environment"]}
    lines = (DEPLOY / "systemd" / "carboy.env").read_text("utf-8").splitlines()
    yield "systemd", dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(("where", "environment"), list(_environments()))
def test_every_variable_is_a_setting(where: str, environment: Mapping[str, Any]) -> None:
    """A misspelt one would be ignored in production."""
    parts = (BaseSettings, ServeSettings, ArchiveSettings, SmsSettings, *_OWN)
    known = {item.name for part in parts for item in settings_of(part)} | {"FLASK_PROFILE"}

    assert set(environment) - known == set()
    assert environment["FLASK_PROFILE"] in {"prod", "Profile"}


def test_messages_stay_hidden_for_six_times_the_time_of_a_batch() -> None:
    """Otherwise Lambda delivers a message again while it is processed."""
    resources = _load("lambda/template.yaml")[0]["Resources"]
    worker = resources["WorkerFunction"]["Properties"]

    assert resources["Queue"]["Properties"]["VisibilityTimeout"] >= 6 * worker["Timeout"]
    assert worker["Events"]["Messages"]["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("name", ["lambda/template.yaml", "ecs/roles.yaml"])
def test_no_role_may_do_anything_to_everything(name: str) -> None:
    """Each statement of a role names its actions and its resources."""
    resources = _load(name)[0]["Resources"].values()
    roles = [one["Properties"] for one in resources if one["Type"] in {"AWS::Serverless::Function", "AWS::IAM::Role"}]
    statements = [statement for role in roles for statement in _statements(role.get("Policies", []))]

    assert len(statements) >= 5
    for one in statements:
        assert all("*" not in action for action in one["Action"])
        assert one["Resource"] != "*"


@pytest.mark.parametrize("name", ["lambda/template.yaml", "ecs/roles.yaml"])
def test_each_kind_of_destination_has_a_permission_where_it_is_used(name: str) -> None:
    """Only for what the parameter names; late deliveries and paused destinations are counted in the log."""
    template = _load(name)[0]
    roles = [one["Properties"] for one in template["Resources"].values() if "Policies" in one["Properties"]]
    assert roles
    for role in roles:
        allowed = {action for one in _statements(role["Policies"]) for action in one["Action"]}
        assert allowed >= {"sqs:SendMessage", "sns:Publish", "events:PutEvents", "kinesis:PutRecords"}
    arns = [f"Destination{kind}Arns" for kind in ("Queue", "Topic", "Bus", "Stream")]
    assert [template["Parameters"][one]["Default"] for one in arns] == [""] * 4
    filters = [one for one in template["Resources"].values() if one["Type"] == "AWS::Logs::MetricFilter"]
    counted = " ".join(one["Properties"]["FilterPattern"] for one in filters)
    assert all(event in counted for event in ("deliveries_late", "destination_paused", "destination_removed"))


def _statements(policy: Any) -> Iterator[dict[str, Any]]:
    match policy:
        case {"Statement": statements}:
            yield from statements
        case dict():
            for value in policy.values():
                yield from _statements(value)
        case list():
            for value in policy:
                yield from _statements(value)


def test_the_secrets_of_compose_are_made_once(tmp_path: Path) -> None:
    """A second run changes none of them: the database keeps its first password."""
    script = tmp_path / "secrets.sh"
    shutil.copy(DEPLOY / "container" / "secrets.sh", script)

    contents = []
    for _ in range(2):
        subprocess.run([script], check=True, timeout=10)
        contents.append({path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()})

    assert contents[0] == contents[1]
    assert set(contents[0]) == set(_load("container/compose.yaml")[0]["secrets"])
    assert contents[0]["database_password"] in contents[0]["database_url"]
    assert len(contents[0]["secret_key"]) == 64
    assert contents[0]["broker_password"] in contents[0]["broker_url"]


def test_the_secrets_of_compose_are_no_other_users(tmp_path: Path) -> None:
    """Not even by their known names, and with any mode of the folder."""
    shutil.copy(DEPLOY / "container" / "secrets.sh", tmp_path)
    (tmp_path / "secrets").mkdir(mode=0o755)

    subprocess.run([tmp_path / "secrets.sh"], check=True, timeout=10)

    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


def test_every_service_of_compose_gives_its_powers_up() -> None:
    """None can gain any, none has a capability, and only nginx stands where it is reached from outside."""
    services = _load("container/compose.yaml")[0]["services"]

    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ("outside" in service["networks"]) is (name == "nginx"), name


def test_pods_are_reached_from_named_namespaces_alone() -> None:
    """Another pod could choose its address, and read the metrics without a key."""
    [policy] = [each for each in _load("kubernetes/common.yaml") if each["kind"] == "NetworkPolicy"]

    rules = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    selectors = [
        one
        for rule in [*policy["spec"]["ingress"], *policy["spec"]["egress"]]
        for one in rule.get("from", rule.get("to", []))
    ]
    assert set(rules) == {8000, 9090}
    assert all(one["namespaceSelector"].get("matchLabels") for one in selectors)


def test_what_the_image_copies_is_let_through() -> None:
    """The list of what Docker is sent leaves out all that is not named."""
    sent = {
        line.removeprefix("!")
        for line in (DEPLOY / "container" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {
        name
        for line in (DEPLOY / "container" / "Dockerfile").read_text("utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }

    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
