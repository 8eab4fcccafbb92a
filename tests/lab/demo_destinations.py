"""The destinations of `make demo`: a SIEM that fails for a while, a queue on moto, and the engineer on call."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.lab.threat_stack_api import invent_webhook

from carboy.testing import Answer, LoopbackServer, Request
from carboy.testing.processes import AwsServer, moto_server

__all__ = ["PassedOn", "destinations"]

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_FAILS = 4  # one less than opens its circuit breaker
_TOML = """
[default.archive.destinations.siem]
url = "{siem}"
secret = "{secret}"
retry = ["0s", "1s", "1s", "2s", "2s", "5s", "5s", "5s", "5s"]

[default.archive.destinations.queue]
url = "sqs:alerts"

[default.archive.destinations.oncall]
url = "sms:alert"
filter = "severity == `1` && id == '{alert}'"
to = ["+4915112345678"]
params = {{title = "title"}}

[default.sms.templates.alert]
params = ["title"]
text = "Severity 1: {{title}}"
"""


@dataclass
class PassedOn:
    """What the receivers got.

    Attributes:
        taken: events that the SIEM took, by id, with the webhook ids under which each came.
        refused: requests that it answered 500.
        unsigned: requests whose signature was wrong.
    """

    moto: AwsServer
    outbox: Path
    ids: Sequence[str]
    taken: dict[str, set[str]] = field(default_factory=dict)
    refused: int = 0
    unsigned: int = 0

    def answer(self, request: Request) -> Answer:
        """Answer as a SIEM that fails at first."""
        try:
            Webhook(_SECRET).verify(request.body, dict(request.headers))
        except WebhookVerificationError:
            self.unsigned += 1
            return Answer(401)
        event = request.json()["id"]
        if self.refused < _FAILS:
            self.refused += 1
            return Answer(500)
        self.taken.setdefault(event, set()).add(request.headers["webhook-id"])
        return Answer(200)

    def messages(self) -> Counter[str]:
        """Return how often each alert is in the queue, and take it out."""
        sqs = self.moto.client("sqs")
        url = sqs.get_queue_url(QueueName="alerts")["QueueUrl"]
        found: Counter[str] = Counter()
        while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for one in some:
                found[json.loads(one["Body"])["id"]] += 1
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return found

    def texts(self) -> int:
        """Return how many messages the engineer on call got."""
        return len(self.outbox.read_text().splitlines()) if self.outbox.exists() else 0

    def faults(self, seconds: float) -> list[str]:
        """Wait until all is delivered, and return what is wrong."""
        queued: Counter[str] = Counter()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            queued += self.messages()
            if len(queued) >= len(self.ids) and len(self.taken) >= len(self.ids) and self.texts():
                break
            time.sleep(0.2)
        found = []
        if missing := set(self.ids) - self.taken.keys():
            found.append(f"the SIEM lacks {len(missing)} alerts")
        if any(len(ids) > 1 for ids in self.taken.values()):
            found.append("the SIEM got an alert under two ids")
        if self.unsigned:
            found.append(f"{self.unsigned} deliveries had a wrong signature")
        if set(self.ids) - queued.keys():
            found.append(f"the queue has {len(queued)} alerts, not {len(self.ids)}")
        if self.texts() != 1:
            found.append(f"the engineer on call got {self.texts()} messages, not 1")
        return found


@contextmanager
def destinations(folder: Path, ids: Sequence[str]) -> Iterator[tuple[PassedOn, dict[str, str]]]:
    """Start the receivers, write `carboy.toml`, and give them with the environment that the gateway needs."""
    severe = next(one for one in ids if json.loads(invent_webhook(one))["alerts"][0]["severity"] == "1")
    with moto_server() as moto:
        moto.client("sqs").create_queue(QueueName="alerts")
        passed = PassedOn(moto, folder / "instance" / "sms-outbox.jsonl", ids)
        with LoopbackServer(passed.answer, record=False) as siem:
            (folder / "carboy.toml").write_text(_TOML.format(siem=siem.url, secret=_SECRET, alert=severe))
            yield passed, moto.environment
