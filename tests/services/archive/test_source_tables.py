"""`carboy archive source add` writes a table and keeps the file; `source test` signs as the sender does."""

import io
import json
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.webhooks.preset_signers import BY_ADDRESS, PRESETS, SENDERS, secrets_of
from tests.webhooks.test_presets import source_of
from werkzeug.serving import BaseWSGIServer, make_server

from carboy.cli.main import main
from carboy.config.values import convert
from carboy.errors import InvalidInput, UsageError
from carboy.services.archive.source_settings import SourceConfig
from carboy.services.archive.source_tables import add_source, plan_source, sample_request
from carboy.services.archive.sources import make_sources

NOW_MS = 1_700_000_000_000
ONLY_THE_SENDER = {"ed25519", "ecdsa", "rsa"}
TOML = "# the shop\n[default]\nmodules = ['carboy.services.archive']  # one\n\n[profile.prod]\nlog_level = 'INFO'"


@pytest.mark.parametrize("name", sorted(SENDERS))
def test_a_sample_is_accepted_by_its_source_unless_only_the_sender_can_sign(name: str) -> None:
    secret, _ = secrets_of(PRESETS[name])
    source = source_of(name, secret)

    if PRESETS[name].keys["verify"] in ONLY_THE_SENDER or name == "plaid":  # whose tokens a public key verifies
        with pytest.raises(UsageError, match="only the sender"):
            sample_request(source, "http://127.0.0.1:8000", NOW_MS)
        return
    sent = sample_request(source, "http://127.0.0.1:8000", NOW_MS)

    assert source.scheme is not None
    source.scheme.verify(sent, source.secrets, NOW_MS / 1000)
    assert source.item(sent, NOW_MS)[1].body == sent.body


@pytest.mark.parametrize("name", sorted(BY_ADDRESS))
def test_a_sample_of_a_sender_that_cannot_sign_has_the_token_in_its_address(name: str) -> None:
    sent = sample_request(source_of(name, tokens=["t/0"]), "http://127.0.0.1:8000/", NOW_MS)

    assert sent.url == "http://127.0.0.1:8000/api/v1/webhooks/it/t%2F0"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_added(name: str, tmp_path: Path) -> None:
    """The table is a source that starts, once the sender's secret is there; all lines from before stay."""
    toml = tmp_path / "carboy.toml"
    toml.write_text(TOML)
    is_theirs = PRESETS[name].needs == "secrets" and PRESETS[name].secret != "you"
    secret = secrets_of(PRESETS[name])[0] if is_theirs else ""

    new = plan_source("it", PRESETS[name], root=tmp_path, url="https://h.example", secret=secret)
    add_source(toml, new)

    text = toml.read_text()
    assert text.startswith(TOML)
    table = tomllib.loads(text)["default"]["archive"]["sources"]["it"]
    for key in {"secrets", "tokens", "handshake_secret"} & table.keys():
        [path] = [tmp_path / one.removeprefix("file:") for one in table[key]]
        assert path.stat().st_mode & 0o777 == 0o600
        table[key] = [path.read_text()]
    assert source_of(table.pop("preset"), **table).name == "it"
    assert new.address.startswith("https://h.example/api/v1/webhooks/it")


def test_a_sender_that_signs_its_address_gets_it_in_the_table(tmp_path: Path) -> None:
    """Unless the host is not known yet; a proxy in front may call the service by another name."""
    signing = {name for name, preset in PRESETS.items() if preset.signs_address}
    assert signing == {"hubspot", "messagebird", "square", "trello", "twilio"}

    for name in ("square", "github"):
        new = plan_source("it", PRESETS[name], root=tmp_path, url="https://h.example/base/")
        assert new.keys.get("public_url") == ("https://h.example/base" if name in signing else None)
    unknown = plan_source("it", PRESETS["twilio"], root=tmp_path, url="https://YOUR-HOST")
    assert "public_url" not in unknown.keys


def test_lines_keep_their_ends_and_comments_stay(tmp_path: Path) -> None:
    """As editors on Windows write them."""
    toml = tmp_path / "carboy.toml"
    before = b"# ours\r\n[default]\r\narchive_url = 'memory://'  # for now\r\n"
    toml.write_bytes(before)

    add_source(toml, plan_source("it", PRESETS["github"], root=tmp_path, url="https://h.example"))

    assert toml.read_bytes().startswith(before)
    assert toml.read_bytes().count(b"\n") == toml.read_bytes().count(b"\r\n")


def test_a_source_is_added_once_and_only_where_a_table_can_stand(tmp_path: Path) -> None:
    toml = tmp_path / "carboy.toml"
    new = plan_source("it", PRESETS["github"], root=tmp_path, url="https://h.example")
    add_source(toml, new)

    with pytest.raises(InvalidInput, match="is there already"):
        add_source(toml, new)

    toml.write_text("[default.archive]\nsources = {other = {tokens = ['t']}}\n")
    with pytest.raises(InvalidInput, match="no table can follow"):
        add_source(toml, new)
    assert toml.read_text() == "[default.archive]\nsources = {other = {tokens = ['t']}}\n"


@pytest.mark.parametrize(
    ("preset", "given", "wrong"),
    [
        ("svix", {"secret": "not base64!"}, ["secret must be base64, with whsec_"]),
        ("discord", {"secret": "xyz"}, ["secret must be a public key for ed25519"]),
        ("adyen-hmac", {"secret": "no hex"}, ["secret must be hex"]),
        ("plaid", {"secret": "{}"}, ["secret must be a public key as PEM or JWK"]),
        ("asana", {"secret": "k"}, ["secret is of no use to Asana: a source of it needs tokens"]),
        ("sns", {"reference": "file:k"}, ["needs SNS_TOPIC_ARNS"]),
        ("google-pubsub", {"secret": "k"}, ["needs audience"]),
        ("stripe", {"secret": "k", "reference": "file:k"}, ["secret is given twice"]),
        (
            "stripe",
            {"reference": "whsec_pasted"},
            ["reference must be aws-secretsmanager:", "and not the secret itself"],
        ),
        ("stripe", {"reference": "file://k"}, ["reference must be"]),
        ("github", {"url": "hooks.example.com"}, ["url must be https://host"]),
        ("github", {"url": "https://h.example/?a=1"}, ["url must be https://host"]),
        ("github", {"url": "https://u:p@h.example"}, ["url must be https://host"]),
        ("svix", {"name": "A b", "url": "h", "secret": "!"}, ["name must be a letter", "url must", "secret must"]),
    ],
)
def test_what_would_stop_the_next_start_is_not_written(
    preset: str, given: dict[str, str], wrong: list[str], tmp_path: Path
) -> None:
    """All of it is reported at once; a secret that was pasted in the place of a reference is not repeated."""
    arguments = {"url": "https://h.example", **given}

    with pytest.raises(InvalidInput) as refused:
        plan_source(arguments.pop("name", "it"), PRESETS[preset], root=tmp_path, **arguments)

    for part in wrong:
        assert part in str(refused.value)
    assert "pasted" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_has_its_signature_in_the_body_as_the_sender_writes_it() -> None:
    """Adyen's items are an array; what a webhook has of an id stays in it."""
    source = source_of("adyen-hmac", secrets_of(PRESETS["adyen-hmac"])[0])

    sent = json.loads(sample_request(source, "http://127.0.0.1:8000", NOW_MS).body)

    [item] = [one["NotificationRequestItem"] for one in sent["notificationItems"]]
    assert item["pspReference"] == f"carboy-test-{NOW_MS}"
    assert item["additionalData"]["hmacSignature"]
    assert sent["test"] is True


@pytest.mark.parametrize(
    "keys",
    [
        {"signature": "form:signature", "template": "{form:token}"},
        {"signature": "form:signature", "timestamp": "form:at", "template": "{timestamp}{form:token}"},
        {"signature": "/signature", "timestamp": "header:X-At", "template": "{timestamp}{json:/token}"},
        {"signature": "/signature", "timestamp_header": "X-At", "template": "{timestamp}{json:/token}"},
        {"signature": "query:signature", "timestamp": "query:at", "template": "{timestamp}{body}"},
    ],
)
def test_where_no_sample_can_have_the_proof_the_sender_sends_one(keys: dict[str, str]) -> None:
    source = make_sources(convert({"it": {"verify": "hmac", "secrets": ["k"], **keys}}, dict[str, SourceConfig]))["it"]

    with pytest.raises(UsageError, match="only the sender can sign it"):
        sample_request(source, "http://127.0.0.1:8000", NOW_MS)


def test_only_amazon_signs_a_message_of_sns() -> None:
    with pytest.raises(UsageError) as refused:
        sample_request(source_of("sns"), "http://127.0.0.1:8000", NOW_MS)
    assert "aws sns publish" in refused.value.hint


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = 0
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_commands_print_what_to_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["carboy"])
    add = ("archive", "source", "add")

    code, out, _ = run(*add, "repos", "--preset", "github", "--url", "https://h.example", "--json", capsys=capsys)
    facts = json.loads(out)
    assert code == 0
    assert facts["address"] == "https://h.example/api/v1/webhooks/repos"
    assert len(facts["secret"]) >= 32
    assert (tmp_path / "instance/webhook-secrets/repos-secret").read_text() == facts["secret"]

    code, out, error = run(*add, "x", "--preset", "githup", capsys=capsys)
    assert (code, out) == (2, "")
    assert "did you mean `github`?" in error

    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    code, out, error = run(*add, "pay", "--preset", "stripe", "--secret-stdin", capsys=capsys)
    assert (code, out) == (2, "")
    assert "stdin has no secret" in error

    code, out, error = run(*add, "push", "--preset", "google-pubsub", capsys=capsys)
    assert code == 0
    assert "`audience`" in error

    code, out, error = run(*add, "pay", "--preset", "stripe", capsys=capsys)
    assert code == 0
    assert "pay-secret" in error

    code, out, _ = run("archive", "senders", "--json", capsys=capsys)
    assert code == 0
    assert {one["name"] for one in json.loads(out)} == PRESETS.keys()


@pytest.fixture
def served(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Start a service with the tables of a file, in whose folder the commands run; returns its address."""
    servers: list[BaseWSGIServer] = []

    def start(toml: str) -> str:
        server = make_server("127.0.0.1", 0, serve(toml=toml).app, threaded=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["carboy"])
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "table",
    [
        'preset = "stripe"\nsecrets = ["whsec_1"]',
        'preset = "gitlab"\nsecrets = ["schlüssel-鍵"]',
        'preset = "meta"\nsecrets = ["k"]\nhandshake_secret = ["v"]',
        'preset = "mailgun"\nsecrets = ["k"]',
        'preset = "netlify"\nsecrets = ["k"]',
        'preset = "ms-graph"\ntokens = ["t/0 ken"]',
        'preset = "panda-doc"\nsecrets = ["k"]',
        'preset = "square"\nsecrets = ["k"]',
        'preset = "xero"\nsecrets = ["k"]',
    ],
)
def test_a_sample_is_sent_to_the_running_service(
    served: Callable[[str], str], table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over HTTP; each is a new event, and one that is signed with another secret is refused with exit code 1."""
    url = served(f"[default.archive.sources.it]\n{table}\n")

    def send() -> tuple[int, str]:
        code, out, _ = run("archive", "source", "test", "it", "--url", url, capsys=capsys)
        [printed] = [line for line in out.splitlines() if re.match(r"\d{3}( |$)", line)]  # the service logs there too
        return code, printed

    for _ in range(2):
        code, printed = send()
        assert (code, printed[0]) == (0, "2")
        assert '"duplicates":1' not in printed
    other = table.replace('["', '["another-', 1)
    (tmp_path / "carboy.toml").write_text(f"[default.archive.sources.it]\n{other}\n")

    code, printed = send()

    assert (code, printed[0]) == (1, "4")
