"""What senders need beside a signature: exchanges, compressed bodies, batches, windows; and what is refused."""

import gzip
import hashlib
import hmac
import json
import zlib
from typing import Any

import pytest

from carboy.errors import ConfigurationError
from carboy.services.archive.refusals import RefusedRequests
from carboy.testing.clock import ManualClock
from carboy.web import runtime

NOW_MS = 1_700_000_000_000
PATH = "/api/v1/webhooks/it"


def source(lines: str) -> str:
    return f"[default.archive.sources.it]\n{lines}\n"


def signed(body: bytes, key: str = "k") -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.digest(key.encode(), body, "sha256").hex()}


def bearer(**headers: str) -> dict[str, str]:
    return {"Authorization": "Bearer k", **headers}


GITHUB = 'preset = "github"\nsecrets = ["k"]\n'


def test_a_preset_and_a_secret_are_a_source(serve: Any) -> None:
    gateway = serve(toml=source(GITHUB))
    headers = {**signed(b"{}"), "X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push"}

    answer = gateway.open("POST", PATH, data=b"{}", headers=headers)

    assert (answer.status_code, answer.get_json()["ids"]) == (202, ["d-1"])


def test_all_that_is_wrong_with_presets_is_reported_at_once(serve: Any) -> None:
    toml = (
        '[default.archive.sources.a]\npreset = "githup"\nsecrets = ["k"]\n'
        '[default.archive.sources.b]\npreset = "stripe"\n'
        '[default.archive.sources.c]\npreset = "svix"\nsecrets = ["whsec_!"]\n'
        '[default.archive.sources.d]\npreset = "monday"\n'
        '[default.archive.sources.e]\npreset = "github"\nsecrets = ["k"]\ntimeplate = "{body}"\n'
        '[default.archive.sources.f]\npreset = "zoom"\nsecrets = ["k"]\n'
        'handshake = { when = ["method=GET"], eho = "/a" }\n'
        '[default.archive.sources.g]\nverify = "hmca"\nsecrets = ["k"]\nheader = "X"\n'
    )

    with pytest.raises(ConfigurationError) as refused:
        serve(toml=toml)

    for part in (
        "did you mean `github`?",
        "`b.secrets`",
        "`c.secrets` must be base64",
        "`d.tokens`",
        "`e.timeplate` is unknown; did you mean `template`?",
        "`f.handshake.eho` is unknown; did you mean `echo`?",
        "`g.verify` must be one of",
        "did you mean `hmac`?",
    ):
        assert part in str(refused.value)


ASANA = 'preset = "asana"\ntokens = ["t0ken"]\n'


def test_asanas_secret_is_exchanged_by_the_path_token_alone(serve: Any) -> None:
    """What it signs with it is accepted; another secret without the token is refused, and the first stays."""
    gateway = serve(toml=source(ASANA))
    path, body = f"{PATH}/t0ken", b'{"events": [1]}'

    answer = gateway.open("POST", path, data=b"{}", headers={"X-Hook-Secret": "s3cret"})

    assert (answer.status_code, answer.headers["X-Hook-Secret"]) == (200, "s3cret")
    assert gateway.open("POST", PATH, data=b"{}", headers={"X-Hook-Secret": "forged"}).status_code == 403
    headers = {"X-Hook-Signature": hmac.digest(b"s3cret", body, "sha256").hex()}
    assert gateway.open("POST", path, data=body, headers=headers).status_code == 202
    assert gateway.open("POST", PATH, data=body, headers=headers).status_code == 202
    forged = {"X-Hook-Signature": hmac.digest(b"forged", body, "sha256").hex()}
    assert gateway.open("POST", path, data=body, headers=forged).status_code == 403
    assert gateway.open("POST", path, data=body).status_code == 403
    with runtime(gateway.app).engine.connect() as connection:
        [(sealed,)] = connection.exec_driver_sql("SELECT sealed FROM archive_exchanged_secrets").all()
    assert b"s3cret" not in bytes(sealed)


def test_a_token_exchanges_the_secret_again(serve: Any) -> None:
    gateway = serve(toml=source(ASANA))
    body = b'{"events": [2]}'
    for secret in ("first", "second"):
        gateway.open("POST", f"{PATH}/t0ken", data=b"{}", headers={"X-Hook-Secret": secret})

    answers = [
        gateway.open("POST", PATH, data=body, headers={"X-Hook-Signature": hmac.digest(key, body, "sha256").hex()})
        for key in (b"first", b"second")
    ]

    assert [one.status_code for one in answers] == [403, 202]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("GZIP", lambda data: gzip.compress(data[:4]) + gzip.compress(data[4:])),
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
)
def test_a_compressed_body_is_opened_where_the_source_says_so(serve: Any, encoding: str, pack: Any) -> None:
    """The signature is over the bytes on the wire, and what is kept is what they hold."""
    gateway = serve(toml=source(GITHUB + "compressed = true"))
    body = b'{"n": 1234567}'
    wire = pack(body)

    answer = gateway.open("POST", f"{PATH}?wait=10", data=wire, headers={**signed(wire), "Content-Encoding": encoding})

    assert answer.status_code == 200, answer.text
    [key] = gateway.kept()
    assert gateway.read(key) == body


def test_zstd_is_opened(serve: Any) -> None:
    zstd = pytest.importorskip("backports.zstd")
    gateway = serve(toml=source(GITHUB + "compressed = true"))
    wire = zstd.compress(b"{}")

    answer = gateway.open("POST", PATH, data=wire, headers={**signed(wire), "Content-Encoding": "zstd"})

    assert answer.status_code == 202, answer.text


def test_a_signature_over_the_opened_body_is_for_sources_that_say_so(serve: Any) -> None:
    gateway = serve(toml=source(GITHUB + 'compressed = true\nsigned = "opened"'))
    wire, encoding = gzip.compress(b"{}"), {"Content-Encoding": "gzip"}

    assert gateway.open("POST", PATH, data=wire, headers={**signed(b"{}"), **encoding}).status_code == 202
    assert gateway.open("POST", PATH, data=wire, headers={**signed(wire), **encoding}).status_code == 403


@pytest.mark.slow
def test_a_compressed_body_is_refused_by_default_and_beyond_the_limit(serve: Any) -> None:
    """A bomb is not opened further than the limit; what cannot be opened is a 400, what is unknown a 415."""
    gateway = serve(toml=source(GITHUB) + "[default.archive.sources.big]\n" + GITHUB + "compressed = true")
    bomb = gzip.compress(bytes(50_000_000))

    def status(path: str, data: bytes, encoding: str = "gzip") -> int:
        headers = {**signed(data), "Content-Encoding": encoding}
        return int(gateway.open("POST", path, data=data, headers=headers).status_code)

    big = "/api/v1/webhooks/big"
    assert status(PATH, gzip.compress(b"{}")) == 415
    assert status(big, bomb) == 413
    assert status(big, gzip.compress(bomb), "gzip, gzip") == 413
    assert status(big, gzip.compress(b"{}")[:-4]) == 400
    assert status(big, gzip.compress(b"{}") + b"x") == 400
    assert status(big, b"") == 400
    assert status(big, b"{}", "br") == 415
    assert status(big, b"{}", "identity") == 202


def test_an_event_counts_as_a_duplicate_within_its_window(serve: Any) -> None:
    clock = ManualClock(NOW_MS)
    gateway = serve(toml=source(GITHUB + 'duplicates = "7d"'), clock=clock)
    headers = {**signed(b"{}"), "X-GitHub-Delivery": "d-1"}

    def accepted() -> int:
        return int(gateway.open("POST", PATH, data=b"{}", headers=headers).get_json()["accepted"])

    counts = [accepted(), accepted()]
    clock.advance(6 * 86_400)
    counts.append(accepted())
    clock.advance(86_401)
    counts += [accepted(), accepted()]
    clock.advance(8 * 86_400)
    counts += [accepted(), accepted()]

    assert counts == [1, 0, 0, 1, 0, 1, 0]


EVENTS = 'preset = "cloudevents"\nsecrets = ["k"]'


def event(number: int) -> dict[str, Any]:
    return {"specversion": "1.0", "id": f"e{number}", "source": "/s", "type": "it.happened", "data": {"n": number}}


def test_cloudevents_come_in_three_modes(serve: Any) -> None:
    gateway = serve(toml=source(EVENTS))
    binary = {"ce-id": "e1", "ce-source": "/s", "ce-type": "it.happened", "ce-specversion": "1.0"}
    batch = json.dumps([event(2), event(3)], indent=1).encode()

    answers = [
        gateway.open("POST", PATH, data=b"{}", headers=bearer(**binary)),
        gateway.open("POST", PATH, json=event(2), headers=bearer(), content_type="application/cloudevents+json"),
        gateway.open("POST", PATH, data=batch, headers=bearer(), content_type="application/cloudevents-batch+json"),
    ]

    assert [one.status_code for one in answers] == [202, 202, 202], answers[2].text
    assert [one.get_json()["ids"] for one in answers] == [["/s e1"], ["/s e2"], ["/s e2", "/s e3"]]


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"[{]", b""])
def test_a_batch_that_is_none_is_refused_whole(serve: Any, body: bytes) -> None:
    gateway = serve(toml=source(EVENTS))

    answer = gateway.open("POST", PATH, data=body, headers=bearer(), content_type="application/cloudevents-batch+json")

    assert answer.status_code == 422, answer.text


def test_firehose_gets_its_request_id_back(serve: Any) -> None:
    gateway = serve(toml=source('preset = "amazon-data-firehose"\nsecrets = ["k"]'), clock=ManualClock(NOW_MS))
    headers = {"X-Amz-Firehose-Access-Key": "k", "X-Amz-Firehose-Request-Id": 'r"1', "Content-Encoding": "gzip"}

    answer = gateway.open("POST", PATH, data=gzip.compress(b"{}"), headers=headers)

    assert answer.get_json() == {"requestId": 'r"1', "timestamp": NOW_MS}


def refusals(gateway: Any) -> RefusedRequests:
    found = runtime(gateway.app).find(RefusedRequests)
    assert found is not None
    return found


def test_refused_requests_are_counted_and_kept_as_facts(serve: Any) -> None:
    gateway = serve(toml=source(GITHUB))

    gateway.open("POST", PATH, data=b"secret body", headers=signed(b"other"))
    gateway.open("POST", PATH, data=b"secret body")
    gateway.open("POST", "/api/v1/webhooks/nothing", data=b"{}")

    found = refusals(gateway).newest()
    assert [(one.source, one.reason, one.status) for one in found] == [
        ("nothing", "unknown_source", 404),
        ("it", "missing", 403),
        ("it", "signature", 403),
    ]
    assert (found[1].size, found[1].body, dict(found[1].headers)) == (11, None, {})
    assert [one.reason for one in refusals(gateway).newest("it", limit=1)] == ["missing"]
    assert [one.reason for one in refusals(gateway).newest("it", before=found[1].id)] == ["signature"]


def test_the_reason_of_a_refusal_is_what_was_wrong(serve: Any) -> None:
    """Also where it is no signature: a token, an address, a handshake."""
    gateway = serve(
        toml=source('preset = "asana"\ntokens = ["t"]')
        + '[default.archive.sources.far]\npreset = "github"\nsecrets = ["k"]\nallow = ["192.0.2.0/24"]\n'
        + '[default.archive.sources.fb]\npreset = "meta"\nsecrets = ["k"]\nhandshake_secret = ["v"]\n'
    )

    gateway.open("POST", f"{PATH}/other", data=b"{}")
    gateway.open("POST", PATH, data=b"", headers={"X-Hook-Secret": "stranger"})
    gateway.open("POST", "/api/v1/webhooks/far", data=b"{}", headers=signed(b"{}"))
    gateway.open("GET", "/api/v1/webhooks/fb?hub.mode=subscribe&hub.challenge=1&hub.verify_token=w")

    found = {one.reason: one.detail for one in refusals(gateway).newest()}
    assert found.keys() == {"token", "handshake", "address"}
    assert [one.reason for one in refusals(gateway).newest("fb")] == ["handshake"]
    assert [one.detail for one in refusals(gateway).newest("it")] == [
        "a new secret needs the path token",
        "the path token is not one of the source's",
    ]


ALERTS = "/api/v1/s3/alert"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 400),
        (b'{"alerts": [{"id": "a", "created_at": 1}, {"id": "b"}]}', 422),
        (b'{"alerts": []}', 422),
        (b'{"alerts": [{"id": "../x", "created_at": 1}]}', 422),
    ],
)
def test_a_body_that_is_refused_after_its_proof_is_counted_too(serve: Any, body: bytes, status: int) -> None:
    """By a key, and by a path token: the operator sees why nothing is archived."""
    gateway = serve(toml='[default.archive.sources.threatstack]\nverify = "key"\ntokens = ["long-token"]\n')

    by_key = gateway.post(ALERTS, data=body, content_type="application/json")
    by_token = gateway.open(
        "POST", "/api/v1/webhooks/threatstack/long-token", data=body, content_type="application/json"
    )

    assert (by_key.status_code, by_token.status_code) == (status, status)
    found = refusals(gateway).newest("threatstack")
    assert [(one.reason, one.status, one.size) for one in found] == [("body", status, len(body))] * 2
    text = runtime(gateway.app).metrics.render().decode()
    assert 'carboy_webhook_refused_total{reason="body",source="threatstack"} 2.0' in text


def test_a_key_from_elsewhere_is_a_refusal_of_the_source(serve: Any) -> None:
    """A key lets a request in where the source's addresses do."""
    gateway = serve(toml='[default.archive.sources.threatstack]\nverify = "key"\nallow = ["192.0.2.0/24"]\n')

    assert gateway.post(ALERTS, json={"alerts": [{"id": "a", "created_at": 1}]}).status_code == 403

    assert [(one.reason, one.status) for one in refusals(gateway).newest("threatstack")] == [("address", 403)]


def test_a_source_can_keep_the_bodies_of_refused_requests(serve: Any) -> None:
    gateway = serve(toml=source(GITHUB + "keep_refused = true"))

    gateway.open("POST", PATH, data=b"body", headers={**signed(b"x"), "Authorization": "Bearer cby_1", "X-Y": "z"})

    [found] = refusals(gateway).newest()
    assert found.body == b"body"
    assert found.headers["X-Y"] == "z"
    assert "Authorization" not in found.headers


def test_metrics_tell_what_became_of_each_sources_requests(serve: Any) -> None:
    clock = ManualClock(NOW_MS)
    gateway = serve(toml=source(GITHUB), clock=clock)
    for headers in (signed(b"{}"), signed(b"{}"), signed(b"x")):
        gateway.open("POST", PATH, data=b"{}", headers=headers)
    gateway.open("POST", "/api/v1/webhooks/nothing", data=b"{}")
    clock.advance(90)

    text = runtime(gateway.app).metrics.render().decode()

    for line in (
        'carboy_webhook_requests_total{source="it"} 3.0',
        'carboy_webhook_accepted_total{source="it"} 1.0',
        'carboy_webhook_duplicates_total{source="it"} 1.0',
        'carboy_webhook_refused_total{reason="signature",source="it"} 1.0',
        'carboy_webhook_refused_total{reason="unknown_source",source="unknown"} 1.0',
        'carboy_webhook_last_event_age_seconds{source="it"} 90.0',
    ):
        assert line in text, text


def test_hashes_are_of_what_was_opened(serve: Any) -> None:
    """Without an id the opened content's hash is the id: two ways to compress it are one event."""
    gateway = serve(toml=source('preset = "cloudflare-logpush"\nsecrets = ["k"]'))
    ids = [
        gateway.open(
            "POST",
            PATH,
            data=gzip.compress(b"{}", level),
            headers={"X-Logpush-Secret": "k", "Content-Encoding": "gzip"},
        ).get_json()["ids"]
        for level in (1, 9)
    ]

    assert ids == [[hashlib.sha256(b"{}").hexdigest()]] * 2
