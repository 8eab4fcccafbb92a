"""The security audit of `carboy doctor --security`: each weakness has a finding with its cure."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carboy.cli.doctor_security import audit_console, audit_keys, audit_metrics_address, audit_modes
from carboy.testing import ManualClock
from carboy.web.auth.api_keys import SCOPES, Key

if TYPE_CHECKING:
    from tests.cli.kit import Carboy

_DAY_MS = 86_400_000
_GOOD_KEY = "0123456789abcdefghijklmnopqrstuvwxyzABCD"
_WEAK = """
[default.archive.sources.open]
verify = "none"

[default.archive.sources.guessed]
tokens = ["short"]

[default.archive.sources.signed]
verify = "github"
secrets = ["weak"]

[default.archive.sources.good]
verify = "github"
secrets = ["0123456789abcdef0123456789abcdef"]
"""


def _findings(ended: Any) -> dict[str, Any]:
    return {check["name"]: check for check in ended.json["checks"]}


def test_a_service_with_good_settings_has_no_finding(carboy: "Carboy", project: Path) -> None:
    """Production settings, a private `.env` and a used key: exit 0."""
    (project / ".env").chmod(0o600)
    environ = {"FLASK_PROFILE": "prod", "SECRET_KEY": _GOOD_KEY}
    assert carboy("db", "upgrade", **environ).code == 0
    assert carboy("keys", "create", "sender", "--scope", "archive:write", **environ).code == 0

    ended = carboy("doctor", "--security", "--json", **environ)

    assert [check for check in ended.json["checks"] if not check["ok"]] == []
    assert (ended.code, ended.json["ok"]) == (0, True)


def test_each_weakness_has_a_finding_and_a_cure(carboy: "Carboy", project: Path) -> None:
    """Of the settings, the sources and the files; exit 4, as for any finding of the doctor's."""
    (project / "carboy.toml").write_text(_WEAK)
    (project / ".env").chmod(0o644)
    environ = {"MODULES": "carboy.services.archive", "METRICS_BIND": "0.0.0.0:9090", "SECRET_KEY": "abc"}
    assert carboy("db", "upgrade", **environ).code == 0

    ended = carboy("doctor", "--security", "--json", **environ, AUTH="off", DEBUG="on", RATE_LIMIT="off")

    found = _findings(ended)
    weak = {name for name, check in found.items() if not check["ok"]}
    assert ended.code == 4
    assert weak == {
        *("debug", "authentication", "rate limit", "secret key", "metrics", "file modes"),
        *("source open", "source guessed", "source signed"),
    }
    assert all(found[name]["hint"] for name in weak)
    assert "abc" not in found["secret key"]["detail"]
    assert "weak" not in found["source signed"]["detail"]


def test_a_guarded_profile_refuses_before_the_audit(carboy: "Carboy") -> None:
    """What cannot start is a finding, not a traceback."""
    ended = carboy("doctor", "--security", "--json", FLASK_PROFILE="prod", SECRET_KEY=_GOOD_KEY, AUTH="off")

    assert ended.code == 4
    assert "AUTH" in ended.json["checks"][-1]["detail"]


@pytest.mark.parametrize(
    ("bind", "is_pod", "ok"),
    [
        (None, False, True),
        ("127.0.0.1:9090", False, True),
        ("[::1]:9090", False, True),
        ("10.0.0.7:9090", False, True),
        ("localhost:9090", False, True),
        ("0.0.0.0:9090", False, False),
        (":9090", False, False),
        ("[::]:9090", False, False),
        ("8.8.8.8:9090", False, False),
        ("0.0.0.0:9090", True, True),
    ],
)
def test_metrics_without_a_key_are_on_a_private_address(bind: str | None, is_pod: bool, ok: bool) -> None:
    """Every address of the machine counts as public, except in a pod."""
    assert audit_metrics_address(bind, is_pod).ok is ok


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o400, True), (0o440, True), (0o644, False), (0o660, False)])
def test_files_with_secrets_are_closed_to_others(mode: int, ok: bool, tmp_path: Path) -> None:
    """The group may read, as it does for secrets that Kubernetes mounts; it may not write."""
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)

    finding = audit_modes([path, tmp_path / "absent"])

    assert finding.ok is ok
    assert ok or str(path) in finding.hint


@pytest.mark.parametrize(
    ("name", "scopes", "age_days", "idle_days", "words"),
    [
        ("sender", ("archive:write",), 1, None, ""),
        ("sender", ("archive:write",), 300, 2, ""),
        ("local", SCOPES, 1, None, ""),
        ("admin", SCOPES, 1, 0, "every scope"),
        ("sender", ("archive:write",), 31, None, "never used"),
        ("sender", ("archive:write",), 200, 91, "not used for 91 days"),
        ("sender", ("archive:write",), 400, 1, "400 days old"),
    ],
)
def test_keys_are_narrow_used_and_young(
    name: str, scopes: tuple[str, ...], age_days: int, idle_days: int | None, words: str
) -> None:
    """A key that breaks a rule is named with the command that revokes it; a revoked one is not looked at."""
    clock = ManualClock()
    now_ms = clock.now_ms()
    used_at = None if idle_days is None else now_ms - idle_days * _DAY_MS
    key = Key("abcdefghijkl", name, scopes, now_ms - age_days * _DAY_MS, used_at)
    revoked = Key("mnopqrstuvwx", "old", SCOPES, 0, None, now_ms)

    findings = list(audit_keys([key, revoked], clock))

    assert [finding.ok for finding in findings] == [not words]
    assert words in findings[0].detail
    assert not words or "carboy keys revoke abcdefghijkl" in findings[0].hint


_CONSOLE: dict[str, Any] = {
    "CONSOLE": True, "CONSOLE_BIND": None, "CONSOLE_OIDC_ISSUER": "", "CONSOLE_ALB": False, "CONSOLE_ROLES": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "ok", "words"),
    [
        ({"CONSOLE": False}, True, "off"),
        ({}, True, "at the service's own address, by API keys"),
        ({"CONSOLE_BIND": "10.0.0.5:8001"}, True, "on 10.0.0.5:8001, apart from the service, by API keys"),
        ({"CONSOLE_ALB": True, "CONSOLE_ROLES": {"ops": ("*",)}}, True, "API keys, the load balancer"),
        ({"CONSOLE_OIDC_ISSUER": "https://a.example"}, False, "no role is given"),
        ({"CONSOLE_OIDC_ISSUER": "https://a.example", "CONSOLE_ROLES": {"*": ("*",)}}, False, "may do everything"),
        (
            {"CONSOLE_OIDC_ISSUER": "https://a.example", "CONSOLE_ROLES": {"*": ("sms:read",)}},
            True,
            "https://a.example",
        ),
    ],
)
def test_it_says_where_the_console_is_and_who_may_enter(settings: dict[str, Any], ok: bool, words: str) -> None:
    """A role that everybody has may not have every scope; at the public address there is a hint."""
    found = audit_console({**_CONSOLE, **settings})

    assert found.ok is ok
    assert words in found.detail
    assert bool(found.hint) is not (ok and ("CONSOLE_BIND" in settings or "CONSOLE" in settings))
