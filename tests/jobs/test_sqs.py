"""Messages of the engine `sqs`: what they say, when they come back, how they are sent."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carboy.errors import InvalidInput, Missing, Unreachable, UsageError
from carboy.jobs import Abandon, Job, JobsSettings, Later, Registry
from carboy.jobs.sqs import SqsEngine
from carboy.jobs.sqs.queue import Outgoing, SqsQueue
from carboy.jobs.sqs.queue_messages import CallMessage, RowMessage, parse_message, render_message
from carboy.redact import Secret
from carboy.testing import Answer, LoopbackServer, ManualClock
from carboy.testing.processes import AwsServer

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
)


@dataclass
class MemoryQueue:
    """A queue that holds what it was sent, and remembers for how long what was hidden."""

    sent: list[Outgoing] = field(default_factory=list)
    hidden: dict[str, float] = field(default_factory=dict)
    is_away: bool = False

    def send(self, messages: Sequence[Outgoing]) -> None:
        if self.is_away:
            raise Unreachable("the queue", "it is away", "")
        self.sent += messages

    def hide(self, receipt: str, seconds: float) -> None:
        self.hidden[receipt] = seconds

    def waiting(self) -> int:
        return len(self.sent)


class MemoryPark:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        self.kept["one"] = data
        return "one"

    def get(self, name: str) -> bytes:
        if name not in self.kept:
            raise Missing(name, "it is not there", "")
        return self.kept[name]

    def drop(self, name: str) -> None:
        del self.kept[name]


def _engine(queue: MemoryQueue, *jobs: Job[...], clock: ManualClock | None = None) -> SqsEngine:
    settings = JobsSettings(jobs_engine="sqs", jobs_broker_url=Secret("https://sqs.eu-west-1.amazonaws.com/1/jobs"))
    return SqsEngine(None, Registry(jobs), settings, context=nullcontext, clock=clock or ManualClock(), queue=queue)


def _record(text: str, times: int = 1) -> dict[str, Any]:
    return {"messageId": "m", "receiptHandle": "r", "body": text, "attributes": {"ApproximateReceiveCount": str(times)}}


def _job(function: Callable[..., Any], **more: Any) -> Job[...]:
    return Job("test.job", function, **more)


@given(st.lists(_JSON), st.integers(0, 2**53), st.text("abc"), st.integers(0, 9), st.text("abc"))
def test_a_call_says_what_it_was_given(args: list[Any], at: int, request_id: str, tries: int, parked: str) -> None:
    """Rendered and parsed, it is the same."""
    message = CallMessage("kind", args, at, request_id, tries, parked)
    assert parse_message(render_message(message)) == message


@given(st.integers(1, 2**63 - 1))
def test_a_row_keeps_all_its_digits(row: int) -> None:
    """They are more than a JSON number may have."""
    assert parse_message(render_message(RowMessage(row, "kind"))) == RowMessage(row, "kind")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"carboy":1}', '{"carboy":2,"job":"x"}',
                                  '{"carboy":1,"job":"x","row":"one"}'])  # fmt: skip
def test_a_message_of_another_topic_is_refused(text: str) -> None:
    """And never taken for one."""
    with pytest.raises(InvalidInput):
        parse_message(text)


def test_a_job_that_fails_comes_back_after_its_wait() -> None:
    """Later from time to time, up to its cap."""

    def fail() -> None:
        raise OSError("away")

    queue = MemoryQueue()
    job = _job(fail, backoff_s=(8.0, 16.0))
    engine = _engine(queue, job)
    engine.send(job, ())

    assert engine.run([_record(queue.sent[0].text, times=5)]) == ["m"]
    assert 0 <= queue.hidden["r"] <= 16


def test_a_job_that_waits_is_sent_again_and_its_try_does_not_count() -> None:
    """The queue counts how often a message came, and would give it up."""

    def wait() -> None:
        raise Later("a rate", 40.0)

    queue = MemoryQueue()
    job = _job(wait)
    engine = _engine(queue, job)
    engine.send(job, ())

    assert engine.run([_record(queue.sent[0].text, times=3)]) == []
    again = parse_message(queue.sent[1].text)
    assert isinstance(again, CallMessage)
    assert (queue.sent[1].delay_s, again.tries) == (40, 2)

    queue.is_away = True
    assert engine.run([_record(queue.sent[0].text)]) == ["m"]  # the first one comes back instead


def test_a_job_that_can_never_succeed_goes_to_the_dead_letters() -> None:
    """As does one that has used up its tries: it comes back at once, until the queue gives it up."""

    def give_up() -> None:
        raise Abandon("there is no such alert")

    queue = MemoryQueue()
    job = _job(give_up)
    engine = _engine(queue, job)
    engine.send(job, ())

    assert engine.run([_record(queue.sent[0].text)]) == ["m"]
    assert queue.hidden == {"r": 0}


def test_arguments_that_are_too_long_are_parked_until_the_job_is_done() -> None:
    """Then they are dropped, and a second message finds nothing left to do."""
    done: list[str] = []
    queue, park = MemoryQueue(), MemoryPark()
    job = _job(done.append)
    engine = _engine(queue, job)
    with pytest.raises(UsageError):
        engine.send(job, ("x" * 300_000,))
    engine.park = park
    engine.send(job, ("x" * 300_000,))

    assert len(queue.sent[0].text) < 1000
    assert engine.run([_record(queue.sent[0].text)]) == []
    assert ([len(one) for one in done], park.kept) == ([300_000], {})
    assert engine.run([_record(queue.sent[0].text)]) == []
    assert len(done) == 1


def test_a_batch_is_worked_on_side_by_side_and_answered_in_its_order() -> None:
    """As many at once as `JOBS_CONCURRENCY` says."""

    def work(number: int) -> None:
        if number % 3 == 0:
            raise ValueError(number)

    queue = MemoryQueue()
    job = _job(work)
    engine = _engine(queue, job)
    engine.send(job, *((number,) for number in range(10)))
    records = [{**_record(one.text), "messageId": str(number)} for number, one in enumerate(queue.sent)]

    assert engine.run(records) == ["0", "3", "6", "9"]


def test_messages_are_sent_ten_at_a_time_and_no_more_bytes_than_one_may_have(
    moto: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them arrive."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    client = moto.client("sqs")
    url = client.create_queue(QueueName="sent-in-batches")["QueueUrl"]
    client.purge_queue(QueueUrl=url)

    short = [Outgoing(str(number)) for number in range(25)]
    SqsQueue(url).send([Outgoing("x" * 90_000), *short, Outgoing("y" * 200_000)])

    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert found["ApproximateNumberOfMessages"] == "27"


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"{}", b'{"Successful": [{"Id": "0", "MessageId": "m"}]}'])
def test_what_the_response_does_not_confirm_was_not_sent(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """A proxy's page with status 200 has no failed messages either."""
    names = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in names.items():  # the session is the process's: those of moto do as well
        monkeypatch.setenv(name, value)
    with LoopbackServer(Answer(200, body)) as server:
        queue = SqsQueue(f"{server.url}/1/jobs")
        with pytest.raises(Unreachable, match="were not sent"):
            queue.send([Outgoing("a"), Outgoing("b"), Outgoing("c")])
    assert len(server.requests) == 2
