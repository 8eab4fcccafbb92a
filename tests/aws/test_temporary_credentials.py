"""Temporary credentials: whose, from where, and how long they are kept."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.rackspace import FakeRackspace

from carboy.aws.rackspace import Rackspace, RackspaceUser
from carboy.aws.temporary_credentials import CredentialBroker, Environment, parse_environments
from carboy.errors import ConfigurationError, Refused, Throttled, Unreachable, UsageError
from carboy.testing import Answer, Cut, ManualClock, Raw, come_back_later, json_answer

ACCOUNT = "123456789012"
USER = RackspaceUser("rs-user", "rs-key")


def lender(server: FakeRackspace, cache: Path | None = None, **given: object) -> CredentialBroker:
    urls = server.environment
    return CredentialBroker(
        given.pop("environ", {}),  # type: ignore[arg-type]
        rackspace=lambda: Rackspace(urls["RACKSPACE_IDENTITY_URL"], urls["RACKSPACE_ACCOUNTS_URL"], timeout_s=5),
        cache=cache,
        **{"user": USER, **given},  # type: ignore[arg-type]
    )


def test_every_fault_of_the_file_is_reported_with_its_line() -> None:
    """An account that YAML made a number above all."""
    text = (
        "environments:\n"
        "  - {name: a, account: 012345678901}\n"
        "  - {name: b, account: '12'}\n"
        "  - {account: '123456789012', role: 7}\n"
        "  - {name: d, account: '123456789012', profile: ''}\n"
        "  - {name: e, account: '123456789012'}\n"
        "  - {name: e, account: '123456789012'}\n"
    )

    with pytest.raises(ConfigurationError) as caught:
        parse_environments(text, "environments.yml")
    assert [(fault.pointer, fault.detail) for fault in caught.value.faults] == [
        (
            "environments.yml:2: environment `a`",
            "`account` is a number, and YAML drops its leading zeros: put it in quotes",
        ),
        ("environments.yml:3: environment `b`", "`account` must be twelve digits, in quotes"),
        ("environments.yml:4: environment number 3", "`name` must be text"),
        ("environments.yml:4: environment number 3", "`role` must be the name or the ARN of a role, or a list of them"),
        ("environments.yml:5: environment `d`", "`profile` must be text"),
        ("environments.yml:7: environment `e`", "has the name of another one"),
    ]


@pytest.mark.parametrize("text", ["", "[]", "environments: {}", "environments:\n- x\n", "a: *b"])
def test_an_invalid_file_is_reported(text: str) -> None:
    """In words."""
    with pytest.raises(ConfigurationError):
        parse_environments(text, "environments.yml")


def test_rackspace_is_asked_as_documented() -> None:
    """A token by API key, then the account's credentials."""
    with FakeRackspace() as server:
        lent = lender(server, duration_s=1800).get(Environment("legacy", ACCOUNT, region="eu-west-1"))

        identity, accounts = server.requests
    assert (identity.method, identity.path) == ("POST", "/v2.0/tokens")
    assert identity.json() == {"auth": {"RAX-KSKEY:apiKeyCredentials": {"username": "rs-user", "apiKey": "rs-key"}}}
    assert accounts.path == f"/v0/awsAccounts/{ACCOUNT}/credentials"
    assert (accounts.headers["x-auth-token"], accounts.headers["x-tenant-id"]) == ("rs-token", "hybrid:123456")
    assert accounts.json() == {"credential": {"duration": "1800"}}
    assert (lent.session_token, lent.region) == ("faws-session-1", "eu-west-1")
    assert "faws-secret-1" not in repr(lent)


def test_an_environment_names_the_variables_of_its_user() -> None:
    """The error names a variable that is not set."""
    environment = Environment("legacy", ACCOUNT, rs_username_var="MY_USER", rs_apikey_var="MY_KEY")
    with FakeRackspace() as server:
        lent = lender(server, user=None, environ={"MY_USER": "rs-user", "MY_KEY": "rs-key"}).get(environment)
        assert lent.session_token == "faws-session-1"
        with pytest.raises(ConfigurationError, match="`MY_KEY` is not set"):
            lender(server, user=None, environ={"MY_USER": "rs-user"}).get(environment)


def test_credentials_are_kept_until_shortly_before_they_end(tmp_path: Path) -> None:
    """In a file that only its owner reads."""
    clock = ManualClock()
    environment = Environment("legacy", ACCOUNT)
    with FakeRackspace() as server:
        first = lender(server, tmp_path, clock=clock).get(environment)
        clock.advance(3600 - 301)
        assert lender(server, tmp_path, clock=clock).get(environment) == first
        clock.advance(2)
        second = lender(server, tmp_path, clock=clock).get(environment)
        other = lender(server, tmp_path, clock=clock, user=RackspaceUser("rs-user", "wrong"))
        with pytest.raises(Refused):
            other.get(environment)

    (kept,) = (tmp_path / "credentials").iterdir()
    assert second != first
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(kept.read_bytes())["session_token"] == second.session_token
    assert "rs-key" not in kept.name + kept.read_text()


def test_what_is_kept_and_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    """A broken file is no error."""
    with FakeRackspace() as server:
        lender(server, tmp_path).get(Environment("legacy", ACCOUNT))
        (kept,) = (tmp_path / "credentials").iterdir()
        for text in ("", "{}", "[]", '{"expires_at": 1}'):
            kept.write_text(text)
            assert lender(server, tmp_path).get(Environment("legacy", ACCOUNT)).session_token


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Answer(401), Refused),
        (Answer(404), Refused),
        (come_back_later(), Throttled),
        (Answer(503), Unreachable),
        (Answer(302, headers={"Location": "http://127.0.0.1/"}), Unreachable),
        (Answer(200, b"<html>"), Unreachable),
        (json_answer({"access": {}}), Unreachable),
        (json_answer([]), Unreachable),
        (Raw(), Unreachable),
        (Cut("body", json_answer({"access": {}})), Unreachable),
    ],
)
def test_every_wrong_answer_is_an_error_in_words(step: object, kind: type[Exception]) -> None:
    """None shows the key."""
    with FakeRackspace() as server:
        server.script(step)  # type: ignore[arg-type]
        with pytest.raises(kind) as caught:
            lender(server).get(Environment("legacy", ACCOUNT))
    assert "rs-key" not in str(caught.value)


def test_an_api_key_travels_over_https_only() -> None:
    """Or on loopback."""
    with pytest.raises(ConfigurationError, match="https"):
        Rackspace("http://identity.example.org")
    with pytest.raises(UsageError):
        CredentialBroker({}, user=USER).get(Environment("", None, profile="x"))


def test_a_role_with_mfa_needs_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal to ask for the code, the error says so."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    environment = Environment("x", ACCOUNT, ("Deploy",), mfa_serial="arn:aws:iam::123456789012:mfa/me")

    with pytest.raises(UsageError, match="MFA"):
        CredentialBroker(os.environ).get(environment)


@given(
    st.text(max_size=40)
    | st.sampled_from(["account", "name", "role"]).map("environments:\n- {{{}: [1, {{}}]}}\n".format)
)
def test_any_file_is_read_or_refused(text: str) -> None:
    """Never with a traceback."""
    with contextlib.suppress(ConfigurationError):
        parse_environments(text, "environments.yml")
    with contextlib.suppress(ConfigurationError):
        parse_environments("environments: [" + text + "]", "environments.yml")
