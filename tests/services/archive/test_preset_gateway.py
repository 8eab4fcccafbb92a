"""Every preset behind one gateway, over HTTP: accepted, or refused for the right reason, and never a 500."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.services.archive.kit import Gateway
from tests.webhooks.preset_signers import BODY, BY_ADDRESS, ELSEWHERE, NOW_S, PRESETS, SENDERS, Signed, secrets_of, sign

from carboy.services.archive.refusals import RefusedRequests
from carboy.testing.clock import ManualClock
from carboy.web import runtime

TOKEN = "t0ken"
ALL = sorted({*SENDERS} | BY_ADDRESS)
BODIES = (BODY, b"\xef\xbb\xbf\xff\r\n")
STRANGE_PROOFS = ["=", "t=,v1=", "v1a,AAAA", "Basic ====", "e30.e30.e30", "\xff\xfe", "v1=0," * 999, "t=1e999,v1=\xb2"]


def table(name: str) -> str:
    """Return the table of a source that is named as its preset."""
    lines = [f'[default.archive.sources.{name}]\npreset = "{name}"']
    if PRESETS[name].needs == "audience":
        lines.append('audience = "https://h.example"')
    if PRESETS[name].needs == "tokens":
        lines.append(f'tokens = ["{TOKEN}"]')
    if name in SENDERS:
        secret = secrets_of(PRESETS[name])[0].replace("\n", "\\n")
        lines.append(f'secrets = ["{secret}"]')
    if name == "meta":
        lines.append('handshake_secret = ["verify"]')
    return "\n".join(lines) + "\n"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_S * 1000)


@pytest.fixture
def gateway(serve: Any, clock: ManualClock) -> Gateway:
    found: Gateway = serve(toml="".join(map(table, PRESETS)), clock=clock)
    return found


def url(name: str) -> str:
    return f"http://localhost/api/v1/webhooks/{name}"


def signed(name: str, body: bytes = BODY, secret: int = 0) -> Signed:
    """Return what a sender sends, by its own secret or by that of another source."""
    if name in BY_ADDRESS:
        return Signed({}, body, f"{url(name)}/{TOKEN if secret == 0 else 'other'}")
    return sign(name, secrets_of(PRESETS[name])[secret], NOW_S, body, f"{url(name)}?a=%2F1")


def post(gateway: Gateway, sent: Signed) -> int:
    path = sent.url.removeprefix("http://localhost")
    return int(gateway.open("POST", path, data=sent.body, headers=sent.headers).status_code)


def reasons(gateway: Gateway, clock: ManualClock, sent: Mapping[str, Signed]) -> dict[str, str]:
    """Return why each request was refused, and fail where one was not."""
    for name, one in sent.items():
        clock.advance(0.1)  # 20 refused requests a second are listed
        assert post(gateway, one) in {401, 403}, name
    found = runtime(gateway.app).find(RefusedRequests)
    assert found is not None
    return {name: found.newest(name, 1)[0].reason for name in sent}


@pytest.mark.slow
def test_what_each_sender_signs_is_kept_whatever_bytes_it_holds(gateway: Gateway) -> None:
    for body in BODIES:
        statuses = {name: post(gateway, signed(name, body)) for name in ALL}

        assert {name: status for name, status in statuses.items() if not 200 <= status < 300} == {}, body


@pytest.mark.slow
def test_what_proves_nothing_is_refused_with_its_reason(gateway: Gateway, clock: ManualClock) -> None:
    """The list of refused requests says whether the proof is missing, or is that of another source."""
    bare = reasons(gateway, clock, {name: Signed({}, b"{}", url(name)) for name in ELSEWHERE}) | reasons(
        gateway, clock, {name: signed(name)._replace(headers={}, body=b"{}", url=url(name)) for name in SENDERS}
    )
    other = {name: signed(name, secret=1) for name in ALL}
    by_key_pair = {name for name in SENDERS if PRESETS[name].keys["verify"] in {"ed25519", "ecdsa", "rsa"}} | {"plaid"}
    other |= {name: signed(name)._replace(body=BODY + b" ") for name in by_key_pair}
    forged = reasons(gateway, clock, other)

    assert {name: reason for name, reason in bare.items() if reason != "missing"} == {}
    right = dict.fromkeys(SENDERS, "signature") | dict.fromkeys(BY_ADDRESS, "token")
    assert {name: reason for name, reason in forged.items() if reason != right[name]} == {}


@pytest.mark.slow
def test_no_proof_is_so_strange_that_it_is_no_refusal(gateway: Gateway) -> None:
    found = {}
    for name in sorted(SENDERS):
        sent = signed(name)
        for header in sent.headers:
            for value in STRANGE_PROOFS:
                status = post(gateway, sent._replace(headers={**sent.headers, header: value}))
                if status not in {401, 403} and header != "Content-Type":
                    found[name, header, value[:20]] = status

    assert found == {}


@pytest.mark.parametrize("secret", ["schlüssel", "鍵", "a b", "ä"])
def test_a_secret_beyond_ascii_is_compared_as_its_bytes(serve: Any, secret: str) -> None:
    """As UTF-8, which is how clients send it; a header is not text to a web server."""
    gateway = serve(toml=table("gitlab").replace(secrets_of(PRESETS["gitlab"])[0], secret))
    sent = {"X-Gitlab-Token": secret.encode().decode("latin-1")}

    assert gateway.open("POST", "/api/v1/webhooks/gitlab", data=b"{}", headers=sent).status_code == 202
    assert (
        gateway.open("POST", "/api/v1/webhooks/gitlab", data=b"{}", headers={"X-Gitlab-Token": "x"}).status_code == 401
    )


@pytest.mark.slow
@pytest.mark.parametrize("value", ["\xff", "Zürich", "鍵".encode().decode("latin-1"), "\x7f", "\xed\xa0\x80"])
def test_any_header_can_be_kept_and_be_the_id(serve: Any, value: str) -> None:
    """Bytes that are no UTF-8 stay what they were, in the headers that are kept and in the id."""
    gateway = serve(toml=table("gitlab"))
    headers = {"X-Gitlab-Token": secrets_of(PRESETS["gitlab"])[0], "X-Gitlab-Event-UUID": value, "X-Note": value}

    answer = gateway.open("POST", "/api/v1/webhooks/gitlab", data=b"{}", headers=headers)

    assert answer.status_code == 202
    [event_id] = answer.get_json()["ids"]
    assert event_id.encode("latin-1" if event_id == value else "utf-8") == value.encode("latin-1")


@pytest.mark.parametrize(
    "query", ["id=Z\xc3\xbcrich", "id=%00", "id=a&id=b", "id=", "id=" + "9" * 3000, "id=\xff", "id=%ED%A0%80"]
)
def test_an_id_in_the_query_may_be_any_bytes(serve: Any, query: str) -> None:
    """As a server passes them on, not decoded; what names nothing leaves the content as the id; no UTF-8 is a 400."""
    gateway = serve(toml=table("gitlab") + 'id = "query:id"\n')
    target = f"/api/v1/webhooks/gitlab?{query}"

    answer = gateway.open(
        "POST",
        "/api/v1/webhooks/gitlab",
        data=b"{}",
        headers={"X-Gitlab-Token": secrets_of(PRESETS["gitlab"])[0]},
        environ_overrides={"RAW_URI": target, "REQUEST_URI": target, "QUERY_STRING": query},
    )

    if query in {"id=\xff", "id=%ED%A0%80"}:
        assert answer.get_json()["detail"] == "the query is not UTF-8"
    else:
        assert len(answer.get_json()["ids"]) == 1


@pytest.mark.parametrize("name", sorted(name for name, preset in PRESETS.items() if preset.signs_address))
def test_an_address_is_verified_as_it_was_sent(serve: Any, clock: ManualClock, name: str) -> None:
    """Whatever is encoded in it, and however: an address that was decoded and encoded again is another one."""
    gateway = serve(toml=table(name), clock=clock)
    queries = (
        *("", "?", "?a", "?a=", "?a=1&", "?&a=1", "?a=%2f%2F", "?a=%27%3A%40%5B%7E", "?a=':@[~", "?a=+%20", "?a=b=c"),
        *("?a=Z%C3%BCrich", "?a=1&a=2", "?a=%25", "?a=;b", "?u=https://h.example/p?q=1", "??", "?a=1?b=2"),
    )
    for query in queries:
        target = f"/api/v1/webhooks/{name}{query}"
        sent = sign(name, secrets_of(PRESETS[name])[0], NOW_S, BODY, f"http://localhost{target}")
        raw = {"RAW_URI": target, "REQUEST_URI": target, "QUERY_STRING": query[1:]}

        answer = gateway.open(
            "POST", f"/api/v1/webhooks/{name}", data=sent.body, headers=sent.headers, environ_overrides=raw
        )

        assert 200 <= answer.status_code < 300, (query, answer.text)
