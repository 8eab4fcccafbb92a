"""Who may post and who may read: keys, scopes, path tokens, addresses, rates, sizes."""

import base64
import json
from typing import Any

import pytest

from carboy.errors import ConfigurationError
from carboy.testing.clock import ManualClock
from carboy.web import create_app

PATH = "/api/v1/s3/alert"
BODY = json.dumps({"alerts": [{"id": "a", "created_at": 1_484_661_060_000}]})
WRITES = [PATH, f"{PATH}/a/replay", "/api/v1/webhooks/threatstack"]
READS = [
    f"{PATH}/a",
    f"{PATH}?start=2017-01-01T00:00:00Z&end=2018-01-01T00:00:00Z",
    "/api/v1/s3/status",
    "/api/v1/webhooks/threatstack/a",
    "/api/v1/webhooks/threatstack?start=2017-01-01T00:00:00Z&end=2018-01-01T00:00:00Z",
]
CALLS = [*(("POST", path) for path in WRITES), *(("GET", path) for path in READS)]


def basic(password: str, name: str = "threatstack") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def sent(method: str) -> dict[str, Any]:
    return {"data": BODY, "content_type": "application/json"} if method == "POST" else {}


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_a_key_it_is_a_401_that_says_how(gateway: Any, method: str, path: str) -> None:
    answer = gateway.open(method, path, **sent(method))

    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("credentials", ["Bearer cby_unknown", "Bearer", "Basic !!!", "Basic eDp5", "Token x", "é"])
@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", f"{PATH}/a")])
def test_an_unknown_key_is_a_401(gateway: Any, method: str, path: str, credentials: str) -> None:
    answer = gateway.open(method, path, headers={"Authorization": credentials}, **sent(method))

    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert gateway.kept() == []


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_key_without_the_scope_is_a_403(gateway: Any, method: str, path: str) -> None:
    key = gateway.make_key("archive:read" if method == "POST" else "archive:write")

    answer = gateway.open(method, path, headers={"Authorization": f"Bearer {key}"}, **sent(method))

    assert (answer.status_code, answer.content_type) == (403, "application/problem+json")


@pytest.mark.slow
@pytest.mark.parametrize("path", [PATH, "/api/v1/webhooks/threatstack"])
def test_the_key_may_come_as_the_password_of_http_basic(gateway: Any, path: str) -> None:
    """Threat Stack cannot send custom headers, but a user and a password in the address."""
    key = gateway.make_key("archive:write")

    assert gateway.open("POST", path, headers=basic(key), **sent("POST")).status_code == 202
    assert gateway.open("POST", path, headers=basic(f"{key}x"), **sent("POST")).status_code == 401


def test_a_revoked_key_opens_nothing(serve: Any) -> None:
    from carboy.web import runtime

    gateway = serve(keys_cache_s="0")
    key, text = runtime(gateway.app).keys.store.create("gone", ["archive:write"])
    runtime(gateway.app).keys.store.revoke(key.id)

    answer = gateway.open("POST", PATH, headers={"Authorization": f"Bearer {text}"}, **sent("POST"))

    assert answer.status_code == 401


def test_a_path_token_lets_in_a_sender_that_can_send_no_header(serve: Any) -> None:
    """Any of several; another is a 403 that names nothing, and no token is ever logged."""
    gateway = serve(toml='[default.archive.sources.threatstack]\ntokens = ["old-token", "new-token"]\n')
    path = "/api/v1/webhooks/threatstack"

    assert gateway.open("POST", f"{path}/old-token", **sent("POST")).get_json()["accepted"] == 1
    assert gateway.open("POST", f"{path}/new-token", **sent("POST")).get_json()["duplicates"] == 1
    refused = gateway.open("POST", f"{path}/new-toke", **sent("POST"))
    assert refused.status_code == 403
    assert "new-toke" not in refused.text
    assert gateway.open("POST", path, **sent("POST")).status_code == 401


def test_a_path_token_is_never_logged(serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = serve(toml='[default.archive.sources.x]\ntokens = ["let-me-in"]\n', log_format="json")

    for method, path in [("POST", "/let-me-in"), ("POST", "/let-me-in/"), ("PUT", "/let-me-in"), ("POST", "/let-me-i")]:
        gateway.open(method, f"/api/v1/webhooks/x{path}", data=b"{}")

    logged = capsys.readouterr()
    assert "let-me" not in logged.out + logged.err
    assert "webhook_refused" in logged.out


def test_no_token_is_a_tokens_start(serve: Any) -> None:
    gateway = serve(toml='[default.archive.sources.x]\ntokens = ["let-me-in"]\n')

    for token in ("let-me-i", "let-me-in2", "LET-ME-IN", "%20let-me-in", "let-me-in%00", "é", "let-me-in/x"):
        assert gateway.open("POST", f"/api/v1/webhooks/x/{token}", data=b"{}").status_code == 403
    assert gateway.kept() == []


def test_an_invalid_source_is_a_404(gateway: Any) -> None:
    for method, path in [("POST", "x"), ("POST", "x/token"), ("GET", "x/id")]:
        assert gateway.open(method, f"/api/v1/webhooks/{path}", **gateway.signed({})).status_code == 404
    assert gateway.post("/api/v1/webhooks/UPPER", data=b"{}").status_code in {404, 422}


def test_a_source_is_limited_on_its_own(serve: Any) -> None:
    """429 says when to come back; other sources and the same one later are let in."""
    clock = ManualClock()
    toml = '[default.archive.sources.noisy]\nverify = "none"\nrate = "2/60s"\n'
    gateway = serve(toml=toml + '[default.archive.sources.calm]\nverify = "none"\n', clock=clock)

    def post(name: str) -> Any:
        return gateway.open("POST", f"/api/v1/webhooks/{name}", data=b"{}")

    assert [post("noisy").status_code for _ in range(3)] == [202, 202, 429]
    assert post("calm").status_code == 202
    clock.advance(int(post("noisy").headers["Retry-After"]))
    assert post("noisy").status_code == 202


def test_who_is_not_let_in_uses_up_nobodys_rate(serve: Any) -> None:
    """Any client can send forgeries; they do not lock out the true sender."""
    gateway = serve(toml='[default.archive.sources.x]\ntokens = ["right"]\nrate = "2/60s"\n')

    forged = [gateway.open("POST", "/api/v1/webhooks/x/wrong", data=b"{}").status_code for _ in range(5)]

    assert forged == [403] * 5
    assert gateway.open("POST", "/api/v1/webhooks/x/right", data=b"{}").status_code == 202


def test_a_source_has_a_body_limit_of_its_own(serve: Any) -> None:
    gateway = serve(toml='[default.archive.sources.x]\nverify = "none"\nmax_body_bytes = 10\n')

    assert gateway.open("POST", "/api/v1/webhooks/x", data=b"1234567890").status_code == 202
    assert gateway.open("POST", "/api/v1/webhooks/x", data=b"12345678901").status_code == 413
    gateway.wait_until_idle()
    assert len(gateway.kept()) == 1


def test_a_source_may_post_from_its_networks_only(serve: Any) -> None:
    """By the client's address, as trusted proxies report it."""
    toml = '[default.archive.sources.x]\nverify = "none"\nallow = ["192.0.2.0/24", "2001:db8::/32"]\n'
    gateway = serve(toml=toml, trusted_proxies=1)

    statuses = [
        gateway.open("POST", "/api/v1/webhooks/x", data=b"{}", headers={"X-Forwarded-For": address}).status_code
        for address in ("192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "198.51.100.7", "192.0.2.7, 198.51.100.7", "x")
    ]

    assert statuses == [202, 202, 202, 403, 403, 403]


def test_auth_can_be_off_on_local_and_test(serve: Any) -> None:
    gateway = serve(auth="off")

    assert gateway.open("POST", PATH, **sent("POST")).status_code == 202
    gateway.wait_until_idle()
    assert gateway.open("GET", f"{PATH}/a").status_code == 200


@pytest.mark.parametrize("profile", ["prod", "dev", "staging"])
def test_auth_cannot_be_off_anywhere_else(tmp_path: Any, profile: str) -> None:
    with pytest.raises(ConfigurationError, match="only on `local` and `test`"):
        create_app(profile, folder=tmp_path, auth="off", secret_key="x" * 40, modules="carboy.services.archive")


def test_too_many_requests_are_a_429(serve: Any) -> None:
    gateway = serve(rate_limit="3/60s")

    answers = [gateway.open("GET", f"{PATH}/a") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0


WRONG_SOURCES = {
    'verfy = "github"': "`x.verfy` is unknown; did you mean `verify`?",
    'verify = "gitub"': "`x.verify` must be one of basic, bearer, ecdsa, ed25519, github, hmac, jwt, key, messagebird",
    'verify = "github"': "`x.secrets` are needed",
    'verify = "github"\nsecrets = "a"\ntime = "at"': "`x.time` must be header:NAME or a JSON pointer",
    'verify = "github"\nsecrets = [7]': "`x.secrets` cannot be used",
    'verify = "hmac"\nsecrets = ["a"]': "`x.header` is needed",
    'verify = "hmac"\nsecrets = ["a"]\nheader = "X-Sig"\nalgorithm = "md5"': "`x.algorithm` must be one of",
    'verify = "slack"\nsecrets = ["a"]\ntolerance_s = 0': "`x.tolerance_s` must be a number of seconds above 0",
    'verify = "slack"\nsecrets = ["a"]\ntolerance_s = "long"': "`x.tolerance_s` cannot be used",
    'verify = "github"\nsecrets = ["a"]\nusername = "u"': "`x.username` is no option of github",
    'tokens = ["t"]\nrate = "often"': "`x.rate` cannot be used",
    'tokens = ["t"]\nallow = ["10.0.0.1/8"]': "`x.allow` must be networks",
    'tokens = ["t"]\nonly = ["push"]': "`x.only` needs `events`",
    'tokens = ["t"]\nmax_body_bytes = -1': "`x.max_body_bytes` cannot be below 0",
    'tokens = ["t"]\nid = "header"': "`x.id` must be header:NAME or a JSON pointer",
    'secrets = ["a"]': "`x.secrets` are of no use to verify = key",
}


@pytest.mark.parametrize("lines", WRONG_SOURCES)
def test_a_wrong_source_stops_the_start_and_names_the_key(serve: Any, lines: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        serve(toml=f"[default.archive.sources.x]\n{lines}\n")

    assert WRONG_SOURCES[lines] in str(refused.value)


def test_a_place_and_a_topic_that_cannot_be_are_faults_of_the_settings(serve: Any) -> None:
    """Reported with all others, by the settings' names."""
    with pytest.raises(ConfigurationError) as refused:
        serve(archive_url="s3:/bucket", sns_topic_arns="alerts")

    assert [fault.pointer for fault in refused.value.faults] == ["ARCHIVE_URL", "SNS_TOPIC_ARNS"]


def test_the_faults_of_all_sources_are_reported_at_once(serve: Any) -> None:
    toml = '[default.archive.sources.x]\nverfy = "a"\nsecret = "b"\n[default.archive.sources.y]\nrate = "?"\n'

    with pytest.raises(ConfigurationError) as refused:
        serve(toml=toml)

    for told in ("`x.verfy`", "`verify`", "`x.secret`", "`secrets`", "`y.rate`"):
        assert told in str(refused.value)


def test_a_source_needs_a_name_that_can_stand_in_a_key(serve: Any) -> None:
    with pytest.raises(ConfigurationError, match="`2017`"):
        serve(toml='[default.archive.sources.2017]\ntokens = ["t"]\n')


def test_verify_none_is_refused_on_a_guarded_profile(serve: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`x.verify` can be none on the profiles local and test only"):
        serve(toml='[default.archive.sources.x]\nverify = "none"\n', profile="prod", secret_key="x" * 40)


def test_a_wrong_secret_is_never_shown(serve: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        serve(toml='[default.archive.sources.x]\nverify = "hmac"\nsecrets = ["hunter2-hunter2"]\n')

    assert "hunter2" not in str(refused.value)
