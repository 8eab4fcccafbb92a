"""Secrets of destinations are in nothing that is written: log, row, object, list, attempt, page, trace or metric."""

import base64
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.console.kit import visit
from tests.services.archive.kit import Serve
from tests.services.archive.test_destinations import ALERT, ended, operator, table, until

from carboy.testing import Answer, LoopbackServer, Request, UdpListener

WHSEC = "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdC0wMDAwMDAwMDAx"
TOKEN, PASSWORD, PLAIN = "sesame-token-4711-abcdef", "p4ss/w0rd-of-siem", "tok_1029384756"
BASIC = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
SLACK_PATH = "T0000/B0000/aVerySecretPathOfSlack"
SECRETS = [WHSEC, WHSEC.removeprefix("whsec_"), TOKEN, PASSWORD, quote(PASSWORD, safe=""), BASIC, PLAIN, SLACK_PATH]


def echo(request: Request) -> Answer:
    """Answer 500 with all that was sent, as a page of debugging does."""
    lines = [f"{request.method} {request.target}", *(f"{name}: {value}" for name, value in request.headers.items())]
    said = "\n".join([*lines, WHSEC, f"http://user:{quote(PASSWORD, safe='')}@siem/", PASSWORD])
    return Answer(500, said.encode(), {"Location": f"/next?token={TOKEN}", "X-Echo": TOKEN})


def found_in(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [one for one in SECRETS if one.encode() in data]


@pytest.mark.slow
def test_no_secret_of_a_destination_is_written_anywhere(
    serve: Serve, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The receivers echo all that they got, refuse to answer, and cannot be reached."""
    with LoopbackServer(echo) as siem, LoopbackServer(echo) as chat, UdpListener() as daemon:
        credentials = f"user:{quote(PASSWORD, safe='')}@"
        address = siem.url.replace("://", f"://{credentials}")
        gone = f"http://{credentials}127.0.0.1:9/hooks?token={PLAIN}"
        more = (
            f'retry = ["0s"]\nsecret = "{WHSEC}"\nheaders = {{Authorization = "Bearer {TOKEN}", X-Api-Key = "{PLAIN}"}}'
        )
        plain = f'retry = ["0s"]\nsecret = "{WHSEC}"\nheaders = {{X-Token = "{TOKEN}"}}'
        toml = (
            table(siem.url, more)
            + table(address, 'retry = ["0s"]', name="basic")
            + table(gone, plain, name="gone")
            + table("slack:", f'retry = ["0s"]\nbody = "title"\nsecret = "{chat.url}/{SLACK_PATH}"', name="chat")
        )
        watched: dict[str, Any] = {"trace": "xray", "trace_sample": 1, "aws_xray_daemon_address": daemon.address}
        gateway = operator(serve(toml=toml, log_level="DEBUG", console=True, **watched))
        gateway.send(ALERT)
        names = ["siem", "basic", "gone", "chat"]
        shown = []
        for name in names:
            [delivery] = until(ended(gateway, "failed", name))
            shown += [
                gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_data(),
                gateway.get(f"/api/v1/destinations/{name}").get_data(),
                gateway.post(f"/api/v1/destinations/{name}/test").get_data(),
            ]
        shown += [gateway.get("/api/v1/destinations").get_data(), gateway.get("/api/v1/jobs").get_data()]
        scraper = {"Authorization": f"Bearer {gateway.make_key('metrics:read')}"}
        shown.append(gateway.open("GET", "/metrics", headers=scraper).get_data())
        assert b'carboy_archive_deliveries_failed{destination="chat"}' in shown[-1]
        person = visit(gateway.app)
        ids = [ended(gateway, "failed", name)()[0]["id"] for name in names]
        pages = [
            "/console/destinations/",
            *(f"/console/destinations/deliveries/{one}" for one in ids),
            *(f"/console/destinations/{name}" for name in names),
            "/",
        ]
        answers = [person.get(page) for page in pages]
        assert [page for page, answer in zip(pages, answers, strict=True) if answer.status_code != 200] == []
        shown += [answer.get_data() for answer in answers]
        sent = " ".join(str(request.headers.get("authorization")) for request in siem.requests)
        assert all(one in sent for one in (TOKEN, BASIC)), "what is searched for was sent"
        assert chat.requests[0].target == f"/{SLACK_PATH}"
        traces = b"\n".join(daemon.wait_for(len(names)))
        assert b'"http"' in traces
        assert b"127.0.0.1" in traces, "the calls to destinations are traced"
        shown.append(traces)

    written = {
        path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "toml" not in path.name
    }
    assert any(name.endswith(".db") for name in written)
    with sqlite3.connect(tmp_path / "test.db") as database:
        written["dump"] = "\n".join(database.iterdump()).encode()
        responses = [
            row[0] for row in database.execute("SELECT response FROM archive_attempts WHERE response IS NOT NULL")
        ]
    database.close()
    written |= {f"response {at}": bytes(one) for at, one in enumerate(responses)}
    written |= {f"object {key}": gateway.read(key) for key in gateway.kept()}
    written |= {f"api {at}": one for at, one in enumerate(shown)}
    written["log"] = "".join(capfd.readouterr()).encode()
    assert b"delivery_failed" in written["log"]
    assert {name: found for name, data in written.items() if (found := found_in(data))} == {}
    assert any(b"***" in one for one in responses)


def test_secrets_are_masked_before_a_destination_is_first_used(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    """What one receiver says may be what another's address holds."""
    with LoopbackServer(echo) as siem:
        idle = table(f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:9/", "enabled = false", name="idle")
        gateway = operator(serve(toml=table(siem.url, 'retry = ["0s"]') + idle))
        gateway.send(ALERT)
        [delivery] = until(ended(gateway, "failed", "siem"))

        shown = gateway.get(f"/api/v1/deliveries/{delivery['id']}").get_data()

    assert PASSWORD.encode() not in shown
    assert PASSWORD not in capfd.readouterr().out
