"""What can be wrong with a request, tried with each preset: it is refused for the right reason, or accepted."""

import json
import re
from functools import cache

import pytest
from tests.webhooks.preset_signers import BODY, NO_BODY, NOW_S, PRESETS, SENDERS, Signed, secrets_of, sign
from tests.webhooks.test_presets import source_of, verify

from carboy.api import RawRequest
from carboy.services.archive.sources import WebhookSource
from carboy.webhooks import Signature, StandardWebhooks, Unverified

SIGNING = sorted(name for name in SENDERS if PRESETS[name].keys["verify"] not in {"bearer", "basic"})
IN_HEADERS = sorted({*SENDERS} - NO_BODY - {"panda-doc"})
TIMED = sorted(
    name
    for name in SENDERS
    if PRESETS[name].keys["verify"] in {"standard-webhooks", "slack", "stripe", "messagebird"}
    or {"timestamp", "timestamp_field", "timestamp_header"} & PRESETS[name].keys.keys()
)
TOKENS = sorted(name for name in SENDERS if PRESETS[name].keys["verify"] == "jwt")
BODIES = (
    b"\xef\xbb\xbf" + BODY,
    b'{\r\n "id": "e-1"\r\n}\r\n',
    '{"id": "Zürich \u2028 \U0001f600"}'.encode(),
    b"",
    b" \n",
    b"\xff\xfe\x00\x01",
    b"[" * 5000 + b"]" * 5000,
    b"1e400",
)


@cache
def source(name: str) -> WebhookSource:
    return source_of(name, secrets_of(PRESETS[name])[0])


def signed(name: str, at_s: int = NOW_S, body: bytes = BODY) -> Signed:
    return sign(name, secrets_of(PRESETS[name])[0], at_s, body)


def reason_of(name: str, sent: Signed, at_s: int = NOW_S) -> str:
    with pytest.raises(Unverified) as refused:
        verify(source(name), sent, at_s)
    return refused.value.reason


def proof_of(name: str) -> str:
    """Return the header that has the signature, the token or the password."""
    scheme = source(name).scheme
    if isinstance(scheme, StandardWebhooks):
        return next(header for header in signed(name).headers if header.endswith("-signature"))
    return getattr(scheme, "header", "") or {"twilio": "X-Twilio-Signature"}.get(name, "Authorization")


@pytest.mark.parametrize("name", [*TIMED, *(one for one in TOKENS if one != "netlify")])
def test_a_time_too_far_in_the_future_is_refused(name: str) -> None:
    """A signature that is made ahead would be good until then."""
    for ahead_s in (3601, 10**7):
        assert reason_of(name, signed(name, NOW_S + ahead_s)) == "time"
    verify(source(name), signed(name, NOW_S + 200))


@pytest.mark.parametrize("name", IN_HEADERS)
def test_a_request_without_its_proof_says_so(name: str) -> None:
    """Whether the header is absent or empty."""
    sent = signed(name)
    [proof] = [header for header in sent.headers if header.lower() == proof_of(name).lower()]
    rest = {header: text for header, text in sent.headers.items() if header != proof}

    assert reason_of(name, sent._replace(headers=rest)) == "missing"
    assert reason_of(name, sent._replace(headers={**rest, proof: ""})) == "missing"
    assert reason_of(name, sent._replace(headers={**rest, proof: " "})) in {"missing", "signature", "time"}


@pytest.mark.parametrize("name", sorted({*SENDERS} & ({"panda-doc"} | NO_BODY)))
def test_a_proof_outside_of_the_headers_can_be_missing_too(name: str) -> None:
    sent = signed(name)
    bare = sent._replace(url=sent.url.partition("?")[0]) if name == "panda-doc" else sent._replace(body=b"{}")

    assert reason_of(name, bare) == "missing"
    assert reason_of(name, sent._replace(url=f"{sent.url}&signature=0", body=b"[]")) == "missing"


@pytest.mark.parametrize("name", SIGNING)
def test_each_header_that_is_signed_counts(name: str) -> None:
    """An altered time, id or nonce is refused, and the time is still near now."""
    sent = signed(name)
    proof = proof_of(name).lower()
    for header, value in sent.headers.items():
        if header.lower() in {proof, "content-type"}:
            continue
        moved = signed(name, NOW_S + 1).headers[header]
        altered = moved if moved != value else f"{value}x"

        assert reason_of(name, sent._replace(headers={**sent.headers, header: altered})) == "signature"


@pytest.mark.parametrize("name", [one for one in TIMED if re.search(r"=1700000000", str(signed(one).headers))])
def test_a_time_inside_the_signatures_header_counts(name: str) -> None:
    sent = signed(name)
    [header] = sent.headers

    altered = sent.headers[header].replace("=1700000000", "=1700000001")

    assert reason_of(name, sent._replace(headers={header: altered})) == "signature"


def rotating() -> list[str]:
    """Return the presets whose signatures are compared as text, so that several can stand in one header."""
    made = {name: source(name).scheme for name in IN_HEADERS}
    return sorted(
        name
        for name, scheme in made.items()
        if isinstance(scheme, StandardWebhooks) or (isinstance(scheme, Signature) and scheme.kind == "hmac")
    )


def joined(name: str, *headers: str) -> str:
    """Return several signatures in one header; where it has named parts, the time stands once."""
    scheme = source(name).scheme
    joint = " " if isinstance(scheme, StandardWebhooks) else getattr(scheme, "separator", "") or ","
    field = getattr(scheme, "signature_field", "")
    more = [one for text in headers[1:] for one in (re.split(r"[,;\s]+", text) if field else [text])]
    return joint.join([headers[0], *(one for one in more if one.startswith(f"{field}=" if field else ""))])


@pytest.mark.parametrize("name", rotating())
def test_one_of_two_signatures_is_enough_while_a_secret_is_replaced(name: str) -> None:
    """As many senders write both: the right one may be the second, and two wrong ones are refused."""
    secret, other = secrets_of(PRESETS[name])
    right, wrong = sign(name, secret), sign(name, other)
    [header] = [one for one in right.headers if one.lower() == proof_of(name).lower()]

    def sent(*proofs: Signed) -> Signed:
        value = joined(name, *(one.headers[header] for one in proofs))
        return right._replace(headers={**right.headers, header: value})

    verify(source(name), sent(right, wrong))
    verify(source(name), sent(wrong, right))
    verify(source(name), sent(*[wrong] * 15, right))
    assert reason_of(name, sent(wrong, wrong)) == "signature"


@pytest.mark.parametrize("name", IN_HEADERS)
def test_the_case_of_header_names_does_not_matter(name: str) -> None:
    sent = signed(name)
    for spell in (str.upper, str.lower, str.title):
        verify(source(name), sent._replace(headers={spell(header): value for header, value in sent.headers.items()}))


@pytest.mark.parametrize("name", sorted({*SENDERS} - NO_BODY - {"twilio"}))
def test_any_bytes_are_verified_as_they_came(name: str) -> None:
    """No byte order mark is dropped, no line end changed, and what is no JSON still has an id and a type."""
    for body in BODIES:
        sent = signed(name, body=body)

        verify(source(name), sent)
        request = RawRequest("POST", sent.url, sent.headers, sent.body)
        assert source(name).item(request, NOW_S * 1000)[1].body == body
        assert source(name).wants(request)
        changed = {body.removeprefix(b"\xef\xbb\xbf"), body.replace(b"\r\n", b"\n"), body.strip(), body + b"\x00"}
        for one in changed - {body} if name in SIGNING else ():
            assert reason_of(name, sent._replace(body=one)) == "signature"


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("mailgun", ("signature", "timestamp"), str(NOW_S + 1)),
        ("mailgun", ("signature", "token"), "other"),
        ("mailgun", ("signature", "signature"), "0" * 64),
        *(
            ("adyen-hmac", ("notificationItems", 0, "NotificationRequestItem", *path), value)
            for path, value in [
                (("pspReference",), "7914073381342285"),
                (("originalReference",), "7914073381342285"),
                (("merchantAccountCode",), "Other"),
                (("merchantReference",), "other"),
                (("amount", "value"), 1),
                (("amount", "currency"), "USD"),
                (("eventCode",), "REFUND"),
                (("success",), "false"),
                (("additionalData", "hmacSignature"), "AAAA"),
            ]
        ),
    ],
)
def test_a_tampered_part_that_is_signed_is_refused(name: str, path: tuple[str | int, ...], value: str | int) -> None:
    """Where the signature stands in the body, over a part of it."""
    sent = signed(name)
    document = json.loads(sent.body)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert reason_of(name, sent._replace(body=json.dumps(document).encode())) == "signature"


def test_what_mailgun_does_not_sign_is_not_proven() -> None:
    """Its note says so: an event that was changed on the way is accepted."""
    sent = signed("mailgun")

    verify(source("mailgun"), sent._replace(body=sent.body.replace(b'"x"', b'"y"')))
    assert "not proven" in PRESETS["mailgun"].note
