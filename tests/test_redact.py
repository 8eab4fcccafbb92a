"""What is secret does not show, and what is not is left alone."""

import copy
import json
import pickle
import threading
import traceback
import uuid
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.forks import exit_code, start_child

from carboy.redact import (
    MASK,
    Secret,
    forget_secrets,
    is_secret_name,
    mask,
    mask_text,
    mask_url,
    may_hold_secret,
    register_secret,
)

SECRET_NAMES = """
    password PASSWORD db_password dbPassword DB_PASSWORD PGPASSWORD MYSQL_PWD pwd passwd userpasswd passphrase
    password2 new-password smtp_pass secret SECRET_KEY client_secret clientSecret clientsecret secrets
    ALIYUN_APP_SECRET token access_token accessToken accesstoken X-Amz-Security-Token tokens csrf_token_v2
    authtoken api_key apiKey APIKey X-Api-Key apikey authorization Authorization Proxy-Authorization
    HTTP_AUTHORIZATION cookie Set-Cookie cookies private_key privateKey private-key-pem aws_secret_access_key
    access_key signing_key credential credentials db.credentials signature X-Hub-Signature-256 sig otp jwt
    session_id sessionid connection_string
""".split()  # noqa: SIM905

INNOCENT_NAMES = """
    token_count tokens_used max_tokens prompt_tokens total_tokens NextToken next_token page_token token_type
    tokenizer token_ttl_s password_length has_password passwordless is_secret secret_name secret_arn SecretId
    secret_version secret_refreshed_at secretary SecretsManagerRegion SignatureVersion signature_algorithm
    access_key_id key partition_key idempotency_key public_key author authority authorized_by compass
    bypass_reason passenger design signal assign cookie_name credentials_expire_at pass_count id name event
    level status path
""".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    forget_secrets()


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{!r}".format, "{:>20.5}".format, "%s".__mod__, ascii, lambda s: f"{s}{[s]}{ {'k': s} }"],
)
def test_a_secret_never_shows_its_text(show) -> None:  # type: ignore[no-untyped-def]
    """Every conversion to text gives the mask."""
    assert "hunter2" not in show(Secret("hunter2"))
    assert MASK in show(Secret("hunter2"))


def test_a_secret_behaves_like_its_text() -> None:
    """It compares, counts, hashes, pickles and copies, and gives the text to who asks."""
    secret = Secret("hunter2")

    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2"), Secret("")}) == 2
    assert (len(secret), bool(secret), bool(Secret(""))) == (7, True, False)
    assert pickle.loads(pickle.dumps(secret)) == secret  # noqa: S301
    assert copy.deepcopy(secret) == secret
    assert Secret("ä\ud800") == Secret("ä\ud800")


def test_a_secret_cannot_be_changed() -> None:
    """Neither its text nor anything else on it."""
    with pytest.raises(AttributeError):
        Secret("hunter2")._text = "x"
    with pytest.raises(AttributeError):
        del Secret("hunter2")._text


def test_a_traceback_with_locals_does_not_show_a_secret() -> None:
    """Tools that print the variables of each frame print the mask."""
    secret = Secret("hunter2")
    try:
        raise ValueError(secret)
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert f"secret = Secret('{MASK}')" in text
    assert "ValueError: ***" in text


@pytest.mark.parametrize(
    "name",
    SECRET_NAMES,
)
def test_a_name_that_sounds_secret_is_one(name: str) -> None:
    """In any case, with any prefix, suffix or joint."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    INNOCENT_NAMES,
)
def test_a_name_about_a_secret_is_not_one(name: str) -> None:
    """What counts, names or dates a secret is needed to find the fault."""
    assert not is_secret_name(name)


def test_names_from_outside_do_not_fill_the_memory() -> None:
    """The verdicts that are kept are bounded, and right again after they were dropped."""
    from carboy.redact import secret_names

    for number in range(10_000):
        is_secret_name(f"password_{uuid.uuid4().hex}_{number}")

    assert len(secret_names._verdicts) <= 4096
    assert is_secret_name("x" * 100_000 + "_password")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password=hunter2", "password=***"),
        ("the password is hunter2 now", "the password is *** now"),
        ("password was S3cret!x, sorry", "password was ***, sorry"),
        ("Passcode is 123456.", "Passcode is ***."),
        ("passphrase is correct-horse-1", "passphrase is ***"),
        ("user:x@host failed", "user:***@host failed"),
        ("connect root:pw@localhost:3306", "connect root:***@localhost:3306"),
        ("login app:first-one@127.0.0.1:5432/app", "login app:***@127.0.0.1:5432/app"),
        ("dsn app:hunter@db.example.com/app", "dsn app:***@db.example.com/app"),
        (
            "app:hunter@db.example.com:5432 (root:hunter2@db.example.com)",
            "app:***@db.example.com:5432 (root:***@db.example.com)",
        ),
        ("error: password=hunter2 x=1", "error: password=*** x=1"),
        ("user:password:hunter2", "user:password:***"),
        ("connect(password='it''s', host='h')", "connect(password='***''s', host='h')"),
        ("{'a': {'password': 'x y', 'b': 1}}", "{'a': {'password': '***', 'b': 1}}"),
        ('{"password":"hu\\"nter2","k":"v"}', '{"password":"***","k":"v"}'),
        (r"{\"token\": \"abc\"} tail", r"{\"token\": \"***\"} tail"),
        ('password="cut off\\', 'password="***'),
        ("credentials: {'a': 1}", "credentials: ***"),
        ("https://u:p@ss@h/x?token=abc&x=1", "https://u:***@h/x?token=***&x=1"),
        ("https://ghp_abc@github.com/x", "https://***@github.com/x"),
        ("postgresql+psycopg://app:s3cr3t@db:5432/x", "postgresql+psycopg://app:***@db:5432/x"),
        ("mysql://u:p/w+0@h/d?x=a@b", "mysql://u:***@h/d?x=a@b"),
        ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
        ("?X-Amz-Date=1&X-Amz-Signature=ab12", "?X-Amz-Date=1&X-Amz-Signature=***"),
        ("GET /x?access_token=xx%20y HTTP/1.1", "GET /x?access_token=*** HTTP/1.1"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("sent Bearer abc.def-1 to x", "sent Bearer *** to x"),
        ("sent BASIC dXNlcjpwYXNz to x", "sent BASIC *** to x"),
        (
            "headers={'Authorization': 'Bearer x', 'X-Api-Key': b'abc'}",
            "headers={'Authorization': '***', 'X-Api-Key': b'***'}",
        ),
        ('Cookie: a=1; b="2"; c=3\nHost: h', "Cookie: ***\nHost: h"),
        ("[('Authorization', 'Basic x'), ('Accept', 'a')]", "[('Authorization', '***'), ('Accept', 'a')]"),
        ("ValueError(b'password', b'hunter2')", "ValueError(b'password', b'***')"),
        ("get('DB_PASSWORD', \"it's\")", "get('DB_PASSWORD', \"***\")"),
        (
            "Command '['mysql', '--password', 'hunter2', 'db']' returned 1",
            "Command '['mysql', '--password', '***', 'db']' returned 1",
        ),
        ("/login?next=%2Fa%3Ftoken%3Dhunter2%26b%3D1&c=2", "/login?next=%2Fa%3Ftoken%3D***&c=2"),
        ("body=%7B%22password%22%3A%22hunter2%22%7D&c=2", "body=%7B%22password%22%3A***&c=2"),
        ("key cby_k1_abcDEF-_9 refused", "key cby_*** refused"),
        ("<a><password>hunter2</password><b>x</b></a>", "<a><password>***</password><b>x</b></a>"),
        ('<wsse:Password Type="Text">hunter2</wsse:Password>', '<wsse:Password Type="Text">***</wsse:Password>'),
        ("<Secret>\n  <![CDATA[hunter2]]>\n</Secret>.", "<Secret>***</Secret>."),
        ("&lt;token&gt;hunter2&lt;/token&gt;", "&lt;token&gt;***&lt;/token&gt;"),
        ("a body cut off: <password>hunt", "a body cut off: <password>***"),
        ('<input name="password" value="hunter2">', '<input name="password" value="***">'),
        ('<entry key="db_password">hunter2</entry>', '<entry key="db_password">***</entry>'),
        ("curl -u user:hunter2 https://h", "curl -u user:*** https://h"),
        ("curl -sSu 'user:hunter 2' https://h", "curl -sSu 'user:***' https://h"),
        ("curl -uuser:hunter2 https://h:443/", "curl -uuser:*** https://h:443/"),
        ("curl --user=user:hunter2 -o x", "curl --user=user:*** -o x"),
        ('curl --proxy-user "user:hunter2" -o x', 'curl --proxy-user "user:***" -o x'),
        ("['curl', '-u', 'user:hunter 2', 'h']", "['curl', '-u', 'user:***', 'h']"),
        ("curl -H 'Authorization: hunter2' https://h", "curl -H 'Authorization: ***' https://h"),
        ('curl -H "X-Api-Key: hunter2" h', 'curl -H "X-Api-Key: ***" h'),
        ("curl //user:hunter2@h/x", "curl //user:***@h/x"),
        ("mysql --password hunter2 db", "mysql --password *** db"),
        ("mysqldump -uroot -phunter2 db", "mysqldump -uroot -p*** db"),
        ("sshpass -p hunter2 ssh h", "sshpass -p *** ssh h"),
        ("docker login -u me -p hunter2 h", "docker login -u me -p *** h"),
        ("x --api-key 'hunter 2' --y 1", "x --api-key '***' --y 1"),
        ("the password 'hunter2' was refused", "the password '***' was refused"),
        ("CREATE USER x IDENTIFIED BY 'hunter2'", "CREATE USER x IDENTIFIED BY '***'"),
        ("machine h login me password hunter2", "machine h login me password ***"),
        ("AccountKey=hunter2==;EndpointSuffix=x", "AccountKey=***;EndpointSuffix=x"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "***"),
        ("x -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- y", "x *** y"),
    ],
)
def test_secrets_in_free_text_are_masked(text: str, masked: str) -> None:
    """Pairs, headers, credentials in URLs, keys; and masking twice changes nothing more."""
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order 12 was shipped",
        "bearer token expired",
        "basic settings loaded",
        "Basic Authentication is off",
        "ssh://git@github.com/x.git",
        "https://h/a@b?page=2",
        "https://h:8080/a@b",
        "arn:aws:secretsmanager:eu-west-1:1:secret:prod/db",
        "aws-secretsmanager:/prod/github#webhook",
        "token_count=3 keys: a, b",
        "mail to a@example.com: done",
        "the columns ['password', 'name', 'age'] are missing",
        "one of ('red', 'blue')",
        "a%3Db%3Ac",
        "usage: login <token> [--password-stdin] <host>",
        "--password is required; --token-ttl 5m",
        "docker run --user 1000:1000 -u 1000:1000 x",
        "<module>x</module> <tokens-left>5</tokens-left> <password/>",
        "<b>2 > 1 & key <i>x</i>",
        "git push -u origin main: done by curl",
        "the password is required; the password is incorrect; a password is too short",
        "password is 30 days old; password is base64-encoded; password was reset 2 days ago",
        "mailto:joe@example.com email:joe1@example.com to:joe@host class:joe@example.com",
        "nginx:1.25@sha256:abcdef0123 foo:bar@1.2.3 pkg:npm/foo@1.2.3",
        "git@github.com:org/repo user@host:22 12:30@office https://example.com/a@b:c",
    ],
)
def test_text_without_a_secret_is_left_alone(text: str) -> None:
    """A mask where none is needed hides the fault that one looks for."""
    assert mask_text(text) == text


def test_a_url_loses_its_password_and_secret_parameters() -> None:
    """What is left still says where the request went."""
    assert mask_url("https://u:p@h/a?page=2&sig=abc#x") == "https://u:***@h/a?page=2&sig=***"


@pytest.mark.slow
@given(
    value=st.text(st.characters(exclude_categories=()), min_size=6, max_size=60).filter(lambda t: MASK not in t),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_a_registered_value_is_masked_wherever_it_stands(value: str, before: str, after: str) -> None:
    """At any place in a text, also in its forms in JSON, Python's repr and URLs."""
    register_secret(value)

    raw = value.encode("utf-8", "surrogatepass")
    for form in (value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(raw, safe=""), quote_plus(raw)):
        text = before + form + after
        assert may_hold_secret(text.encode("utf-8", "surrogatepass"), text.count(":"))
        assert form not in mask_text(text) or form in before + MASK + after


def test_short_values_are_not_registered() -> None:
    """A port or a `true` handed out as a secret would mask half of every line."""
    register_secret("3q7zk")

    assert mask_text("3q7zk") == "3q7zk"


def test_registered_values_are_bounded_and_the_latest_are_kept() -> None:
    """A process that rotates secrets for a year does not grow; the old ones are forgotten whole."""
    from carboy.redact import known

    values = [uuid.uuid4().hex for _ in range(6000)]
    for value in values:
        register_secret(Secret(value))

    assert mask_text(f"x{values[-1]}x") == f"x{MASK}x"
    assert mask_text(values[0]) == values[0]
    assert len(known.KNOWN.forms_at) <= 4096 * 4


def test_many_threads_register_and_mask_at_once() -> None:
    """No reader meets a half-written state."""
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(300):
                value = uuid.uuid4().hex
                register_secret(value)
                assert mask_text(f"a {value} b") == f"a {MASK} b"
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []


def test_a_forked_child_can_register_though_a_thread_had_the_lock() -> None:
    """Locks are fresh in the child."""
    from carboy.redact import known

    def in_child() -> bool:
        register_secret("in-the-child")
        return mask_text("in-the-child") == MASK

    with known.KNOWN._lock:
        child = start_child(in_child)

    assert exit_code(child) == 0


def test_nested_values_are_masked_by_name_and_by_text() -> None:
    """At any depth; what is no secret stays as it is, and the caller's own value is not touched."""
    value = {
        "user": "ada",
        "password": "hunter2",
        "token": 123456,
        "secret": None,
        "has": [{"Set-Cookie": ["a=1"], 8080: b"x"}, ("Bearer abcdef", 1.5)],
        "url": "mysql://u:p@h/d",
        "held": Secret("x"),
    }
    before = copy.deepcopy(value)

    assert mask(value) == {
        "user": "ada",
        "password": MASK,
        "token": MASK,
        "secret": None,
        "has": [{"Set-Cookie": MASK, 8080: b"x"}, ("Bearer ***", 1.5)],
        "url": "mysql://u:***@h/d",
        "held": MASK,
    }
    assert value == before


def test_a_value_that_holds_itself_is_masked_too() -> None:
    """Depth is bounded."""
    value: dict[str, object] = {"password": "x"}
    value["self"] = value

    assert "'x'" not in repr(mask(value))


@given(st.text())
def test_masking_never_raises_and_never_comes_undone(text: str) -> None:
    """Any text can be masked; a second pass finds nothing the first one left."""
    once = mask_text(text)

    assert mask_text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "<password>hunter2</password>",
        "curl -u user:hunter2 h",
        "--token hunter2",
        "sshpass -p hunter2 ssh h",
        "identified by 'hunter2'",
        "login me password hunter2",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter2",
        "it's `passwd 'hunter2'`",
    ],
)
def test_a_line_that_may_hold_a_secret_is_looked_at(text: str) -> None:
    """The fast look never passes what the careful one masks."""
    line = json.dumps({"event": text}).encode()

    assert may_hold_secret(line, line.count(b":"))
    assert "hunter2" not in mask_text(text)
