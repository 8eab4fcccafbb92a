"""`POST /api/v1/webhooks/<source>`: each scheme from its settings to the object, and what is kept of a webhook."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carboy.testing.clock import ManualClock

NOW_S = 1_700_000_000
MINUTE = "2023/11/14/22/13"
BODY = b'{"event": "push", "n": 1.0}'
SECRET = "it is a secret"
WHSEC = "whsec_" + base64.b64encode(b"another secret that is long").decode()

Headers = dict[str, str]


def mac(text: bytes, secret: str | bytes = SECRET, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, text, algorithm)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _standard(secret: str, at_s: int) -> Headers:
    signed = mac(b"msg_1.%d.%s" % (at_s, BODY), base64.b64decode(secret.removeprefix("whsec_")))
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{b64(signed)}"}


# The source's lines in carboy.toml, and the headers that its sender adds for a secret at a time.
SCHEMES: dict[str, tuple[str, Callable[[str, int], Headers]]] = {
    "github": ("", lambda key, _: {"X-Hub-Signature-256": f"sha256={mac(BODY, key).hex()}"}),
    "shopify": ("", lambda key, _: {"X-Shopify-Hmac-SHA256": b64(mac(BODY, key))}),
    "stripe": ("", lambda key, at: {"Stripe-Signature": f"t={at},v1={mac(b'%d.%s' % (at, BODY), key).hex()}"}),
    "slack": (
        "",
        lambda key, at: {
            "X-Slack-Request-Timestamp": str(at),
            "X-Slack-Signature": f"v0={mac(b'v0:%d:%s' % (at, BODY), key).hex()}",
        },
    ),
    "standard-webhooks": ("", _standard),
    "messagebird": (
        'public_url = "https://hooks.example.com"',
        lambda key, at: {
            "MessageBird-Request-Timestamp": str(at),
            "MessageBird-Signature": b64(
                mac(
                    b"%d\nhttps://hooks.example.com/api/v1/webhooks/it\n%s" % (at, hashlib.sha256(BODY).digest()),
                    key,
                )
            ),
        },
    ),
    "hmac": (
        """header = "X-Sig"
        algorithm = "sha512"
        encoding = "base64"
        prefix = "v1="
        timestamp_header = "X-At"
        template = "{timestamp}|{body}"
        tolerance_s = 300""",
        lambda key, at: {"X-At": str(at), "X-Sig": f"v1={b64(mac(b'%d|%s' % (at, BODY), key, 'sha512'))}"},
    ),
    "hmac, plainest": (
        'header = "X-Sig"\nalgorithm = "sha256"\nencoding = "hex"\nprefix = ""',
        lambda key, _: {"X-Sig": mac(BODY, key).hex()},
    ),
    "bearer": ("", lambda key, _: {"Authorization": f"Bearer {key}"}),
    "bearer, its own header": ('header = "X-Gitlab-Token"', lambda key, _: {"X-Gitlab-Token": key}),
    "basic": ("", lambda key, _: {"Authorization": f"Basic {b64(f'any:{key}'.encode())}"}),
    "basic, by name": ('username = "us"', lambda key, _: {"Authorization": f"Basic {b64(f'us:{key}'.encode())}"}),
}
TIMED = ["stripe", "slack", "standard-webhooks", "messagebird", "hmac"]
ASKS = ("bearer", "basic")


def toml(scheme: str, *secrets: str, more: str = "") -> str:
    lines = [f'verify = "{scheme.partition(",")[0]}"', f"secrets = {json.dumps(secrets)}", SCHEMES[scheme][0], more]
    return "[default.archive.sources.it]\n" + "\n".join(lines) + "\n"


def keys(scheme: str) -> tuple[str, str]:
    return (WHSEC, "whsec_" + b64(b"the next one")) if scheme == "standard-webhooks" else (SECRET, "the next one")


def post(gateway: Any, headers: Headers | None = None, body: bytes = BODY, path: str = "it", **more: Any) -> Any:
    return gateway.open("POST", f"/api/v1/webhooks/{path}", data=body, headers=headers or {}, **more)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_proven_is_kept_and_nothing_else(serve: Any, scheme: str) -> None:
    """By any of the secrets; without proof, with another's, or with another body nothing is kept."""
    old, new = keys(scheme)
    gateway = serve(toml=toml(scheme, old, new), clock=ManualClock(NOW_S * 1000))
    sign = SCHEMES[scheme][1]
    refused = 401 if scheme.startswith(ASKS) else 403

    assert post(gateway).status_code == refused
    assert post(gateway, sign(b64(b"somebody else's"), NOW_S)).status_code == refused
    if not scheme.startswith(ASKS):
        assert post(gateway, sign(old, NOW_S), BODY + b" ").status_code == 403
    gateway.wait_until_idle()
    assert gateway.kept() == []

    assert post(gateway, sign(old, NOW_S)).get_json()["accepted"] == 1
    assert post(gateway, sign(new, NOW_S)).get_json()["duplicates"] == 1
    gateway.wait_until_idle()
    assert [gateway.read(key) for key in gateway.kept()] == [BODY]


@pytest.mark.slow
@pytest.mark.parametrize("query", ["?a=1", "?a=1&a=2&b", "?%C3%A9=%20", "?=", "?a[b]=c", "?bodySHA256=" + "0" * 64])
@pytest.mark.parametrize("path", ["it", "it/t"])
def test_a_sender_may_have_a_query_in_its_address(serve: Any, path: str, query: str) -> None:
    """The address is the sender's to choose: Twilio adds its own hash, others what they were set up with."""
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\ntokens = ["t"]\n')

    assert post(gateway, path=path + query).status_code == 202


def test_twilios_signature_is_over_the_address_and_the_form(serve: Any) -> None:
    gateway = serve(
        toml='[default.archive.sources.it]\nverify = "twilio"\nsecrets = ["k"]\npublic_url = "https://hooks.example.com"\n'
    )
    signed = b"https://hooks.example.com/api/v1/webhooks/it?a=1" + b"Body" + "Grüß".encode() + b"From" + b"+49"
    headers = {"X-Twilio-Signature": b64(mac(signed, "k", "sha1"))}
    form = b"From=%2B49&Body=Gr%C3%BC%C3%9F"
    kind = "application/x-www-form-urlencoded"

    assert post(gateway, headers, form, "it?a=1", content_type=kind).status_code == 202
    assert post(gateway, headers, form, "it?a=2", content_type=kind).status_code == 403
    assert post(gateway, headers, form + b"&X=1", "it?a=1", content_type=kind).status_code == 403


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize(("age_s", "status"), [(300, 202), (301, 403), (-301, 403)])
def test_what_is_older_than_five_minutes_is_refused(serve: Any, scheme: str, age_s: int, status: int) -> None:
    gateway = serve(toml=toml(scheme, keys(scheme)[0]), clock=ManualClock(NOW_S * 1000))

    assert post(gateway, SCHEMES[scheme][1](keys(scheme)[0], NOW_S - age_s)).status_code == status


def test_a_refusal_shows_its_reason_in_the_log_alone(serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = serve(toml=toml("github", SECRET), log_format="json")

    answer = post(gateway, {"X-Hub-Signature-256": "sha256=00"})

    assert "secret" not in answer.text
    assert "no secret of the source matches" in capsys.readouterr().out


def test_a_secret_may_be_a_file(serve: Any, tmp_path: Any) -> None:
    """As Docker and Kubernetes hand them over; a new one beside the old as the how-to says."""
    (tmp_path / "secret").write_text(SECRET)
    gateway = serve(toml=toml("github", f"file:{tmp_path}/secret"))

    assert post(gateway, SCHEMES["github"][1](SECRET, 0)).status_code == 202


def test_the_bytes_are_kept_as_they_came_with_chosen_headers(serve: Any) -> None:
    """Any bytes; the object has the content type that the sender gave."""
    more = (
        '[default.archive.sources.it]\nverify = "none"\nid = "header:X-Id"\nkeep_headers = ["X-Event", "User-Agent"]\n'
    )
    gateway = serve(toml=more, clock=ManualClock(NOW_S * 1000))
    body = bytes(range(256))

    headers = {"X-Id": "e1", "X-Event": "push", "X-Other": "no", "User-Agent": "them/1"}
    answer = post(gateway, headers, body, "it?wait=10", content_type="application/octet-stream")

    assert answer.get_json() == {"success": True, "accepted": 1, "duplicates": 0, "ids": ["e1"], "archived": 1}
    assert gateway.kept() == [f"webhooks/it/{MINUTE}/e1"]
    assert gateway.read(gateway.kept()[0]) == body
    told = gateway.get("/api/v1/webhooks/it/e1").get_json()
    assert told["alert"] is None
    assert base64.b64decode(told["webhook"].pop("body_base64")) == body
    assert told["webhook"] == {
        "id": "e1",
        "source": "it",
        "time": "2023-11-14T22:13:20.000Z",
        "received_at": "2023-11-14T22:13:20.000Z",
        "content_type": "application/octet-stream",
        "headers": {"X-Event": "push", "User-Agent": "them/1"},
    }


def test_json_is_shown_as_it_came(serve: Any) -> None:
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\n')

    post(gateway, body=b'{"id": 7, "price": 1.10}', path="it?wait=10")

    assert b'"alert":{"id": 7, "price": 1.10}' in gateway.get("/api/v1/webhooks/it/7").data


def test_without_an_id_the_contents_hash_is_the_id(serve: Any) -> None:
    """So the same bytes are kept once."""
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\n')
    digest = hashlib.sha256(BODY).hexdigest()

    assert post(gateway).get_json()["ids"] == [digest]
    assert post(gateway).get_json()["duplicates"] == 1
    assert gateway.get(f"/api/v1/webhooks/it/{digest}").get_json()["alert"] == json.loads(BODY)


def test_another_content_under_an_id_is_a_version(serve: Any) -> None:
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\n', clock=ManualClock(NOW_S * 1000))
    second = b'{"id": "a", "v": 2}'

    post(gateway, body=b'{"id": "a", "v": 1}', path="it?wait=10")
    post(gateway, body=second, path="it?wait=10")

    version = hashlib.sha256(second).hexdigest()[:8]
    assert gateway.kept() == [f"webhooks/it/{MINUTE}/a", f"webhooks/it/{MINUTE}/a~{version}"]
    assert gateway.get("/api/v1/webhooks/it/a").get_json()["alert"]["v"] == 2


@pytest.mark.parametrize(
    ("where", "sent", "minute"),
    [
        ("/at", {"at": 1_484_661_060}, "2017/01/17/13/51"),
        ("/at", {"at": 1_484_661_060_000}, "2017/01/17/13/51"),
        ("/at", {"at": "2017-01-17T14:51:00+01:00"}, "2017/01/17/13/51"),
        ("/data/0/at", {"data": [{"at": "1484661060.5"}]}, "2017/01/17/13/51"),
        ("header:X-At", {}, "2017/01/17/13/51"),
        ("/at", {"at": "yesterday"}, MINUTE),
        ("/at", {"at": -1}, MINUTE),
        ("/at", {"at": 1e300}, MINUTE),
        ("/at", {"at": None}, MINUTE),
        ("/at", {"at": "9" * 400}, MINUTE),
        ("/at/x", {"at": 7}, MINUTE),
    ],
)
def test_the_time_is_where_the_source_says_else_that_of_arrival(serve: Any, where: str, sent: Any, minute: str) -> None:
    gateway = serve(
        toml=f'[default.archive.sources.it]\nverify = "none"\ntime = "{where}"\n', clock=ManualClock(NOW_S * 1000)
    )

    post(gateway, {"X-At": "1484661060"}, json.dumps(sent).encode(), "it?wait=10")

    assert [key.rpartition("/")[0] for key in gateway.kept()] == [f"webhooks/it/{minute}"]


@pytest.mark.parametrize("events", ["header:X-Event", "/type"])
def test_only_the_types_that_are_wanted_are_kept(serve: Any, events: str) -> None:
    """The others are answered 202: the sender has done its part."""
    gateway = serve(
        toml=f'[default.archive.sources.it]\nverify = "none"\nevents = "{events}"\nonly = ["push", "tag"]\n'
    )
    kinds = ["push", "ping", "tag", "PUSH"]

    answers = [post(gateway, {"X-Event": kind}, json.dumps({"type": kind}).encode(), "it?wait=10") for kind in kinds]

    assert [answer.get_json()["accepted"] for answer in answers] == [1, 0, 1, 0]
    assert answers[1].get_json()["ignored"] == 1
    assert all(answer.status_code in {200, 202} for answer in answers)
    assert len(gateway.kept()) == 2


def test_a_sources_webhooks_are_listed_by_their_time(serve: Any) -> None:
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\ntime = "/at"\n')
    for number in (3, 1, 2):
        post(gateway, body=json.dumps({"id": f"e{number}", "at": 1_484_661_000 + number}).encode(), path="it?wait=10")
    path = "/api/v1/webhooks/it?start=2017-01-17T13:50:01Z&end=2017-01-17T13:50:03Z&limit=1"

    first = gateway.get(path).get_json()
    second = gateway.get(f"{path}&cursor={first['next']}").get_json()

    assert [one["id"] for one in first["alerts"] + second["alerts"]] == ["e1", "e2"]
    assert second["next"] is None


@pytest.mark.slow
def test_what_a_source_has_sent_is_read_back_after_its_table_is_removed(serve: Any, tmp_path: Path) -> None:
    """Nothing more is let in; a name that was no source at any time is a 404, and so are people's own messages."""
    where = {"archive_url": f"file://{tmp_path}/archive"}
    before = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\n', **where)
    post(before, body=b'{"id":"e1"}', path="it?wait=10")
    gateway = serve(toml="", **where)
    span = "?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"

    assert gateway.get("/api/v1/webhooks/it/e1").get_json()["alert"] == {"id": "e1"}
    assert gateway.get(f"/api/v1/webhooks/it{span}").get_json()["alerts"] == [{"id": "e1"}]
    assert post(gateway, body=b'{"id":"e2"}').status_code == 404
    for name in ("other", "sms"):
        assert gateway.get(f"/api/v1/webhooks/{name}{span}").status_code == 404
        assert gateway.get(f"/api/v1/webhooks/{name}/e1").status_code == 404


ODD = [
    *(
        "a b",
        "a+b",
        "a/b",
        "a//b",
        "a%2Fb",
        "..",
        "../../etc/passwd",
        "é",
        "日本",
        "a=2Fb",
        "?x=1",
        "#",
        "a~b",
        ".",
        "%",
    ),
    *("a\\b", "sub:ject@example.com", "x" * 500, "=" * 60, '"', "a;b", "a,b", "a&b"),
]


@pytest.mark.slow
@pytest.mark.parametrize("event_id", ODD)
def test_an_odd_id_is_found_as_its_sender_wrote_it(serve: Any, event_id: str) -> None:
    """It never leaves its folder, and the answer says it back unchanged."""
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\n')
    sent = {"id": event_id, "é": 1}

    answer = post(gateway, body=json.dumps(sent).encode(), path="it?wait=10")

    assert answer.get_json()["ids"] == [event_id]
    found = gateway.get(f"/api/v1/webhooks/it/{quote(event_id, safe='')}")
    assert (found.status_code, found.get_json()["alert"]) == (200, sent)
    if len(event_id) < 200:
        assert found.get_json()["webhook"]["id"] == event_id
    [key] = gateway.kept()
    assert key.count("/") == 7
    assert ".." not in key


@pytest.fixture
def open_source(serve: Any) -> Any:
    return serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\ntime = "/at"\n')


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(min_size=1, max_size=40), st.integers()), st.one_of(st.none(), st.floats(), st.text()))
def test_no_id_and_no_time_make_an_error(open_source: Any, event_id: Any, at: Any) -> None:
    """Any body of a verified sender is kept."""
    sent = json.dumps({"id": event_id, "at": at}, ensure_ascii=True).encode()

    answer = post(open_source, body=sent)

    assert answer.status_code == 202
    assert answer.get_json()["accepted"] + answer.get_json()["duplicates"] == 1


def test_threat_stack_is_a_source_too(fetching: Any) -> None:
    """What its own address does, the sources' does: the alerts one by one, with their details."""
    body = b'{"alerts": [{"id": "587c0159a907346eccb84004", "created_at": "1484661060000"}]}'

    answer = fetching.post("/api/v1/webhooks/threatstack?wait=10", data=body, content_type="application/json")

    assert answer.get_json()["archived"] == 1
    assert fetching.kept() == [
        "alerts/58/7c/587c0159a907346eccb84004",
        "webhooks/2017/01/17/13/51/587c0159a907346eccb84004",
    ]
    read = fetching.get("/api/v1/webhooks/threatstack/587c0159a907346eccb84004").get_json()
    assert read["alert"]["agent_id"]


LONG = "x" * 1025


@pytest.mark.parametrize("event_id", ["/a", "//a", "a/", "a//b", "/", "a\nb", "\n", " a ", "..", LONG])
def test_any_id_is_read_back_by_itself(serve: Any, event_id: str) -> None:
    """Slashes at either end and line breaks are part of it; no other id is answered."""
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\n')
    for one in (event_id, "a", "b"):
        assert post(gateway, body=json.dumps({"id": one}).encode(), path="it?wait=10").status_code == 200

    found = gateway.get(f"/api/v1/webhooks/it/{quote(event_id, safe='')}")

    assert (found.status_code, found.get_json()["alert"]) == (200, {"id": event_id})


def test_a_long_id_is_read_back_as_lists_show_it(serve: Any) -> None:
    """No address can have 64 KiB; the list shows their hash."""
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\nid = "/id"\n')
    body = json.dumps({"id": "x" * 65536}).encode()
    assert post(gateway, body=body, path="it?wait=10").status_code == 200

    span = "start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"
    [shown] = gateway.get(f"/api/v1/webhooks/it?{span}").get_json()["webhooks"]
    found = gateway.get(f"/api/v1/webhooks/it/{shown['id']}").get_json()

    assert shown["id"].startswith("==")
    assert found["alert"] == json.loads(body)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/webhooks//it", "/api/v1//webhooks/it", "/api//v1/webhooks/it", "/api/v1/webhooks/it/",
        "/api/v1/webhooks/", "/api/v1/webhooks", "/api/v1/webhooks/%2Fit", "/api/v1/webhooks/./it",
        "/api/v1/webhooks/../webhooks/it", "/api/v1/webhooks/%2e%2e/webhooks/it", "/api/v1/webhooks/IT",
        "/api/v1/webhooks/it%3Fa=1", "/api/v1/webhooks/it%00",
    ],
)  # fmt: skip
def test_a_misspelt_address_is_a_404_and_no_redirect(serve: Any, path: str) -> None:
    """Many senders follow no redirect, and none reads HTML."""
    gateway = serve(toml='[default.archive.sources.it]\nverify = "none"\n')

    answer = gateway.post(path, data=BODY)

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
