"""Imitate AWS between a queue and a function: deliver messages in batches, delete those that are done."""

from dataclasses import dataclass, field
from typing import Any

from carboy.serve.lambda_.handler import LambdaHandler
from carboy.testing.events import LambdaContext


@dataclass
class Trigger:
    """An SQS queue with `ReportBatchItemFailures`, and its messages on their way to a handler.

    Attributes:
        sqs: boto3's client.
        url: of the queue.
        delivered: every record that was handed over, for those who want to hand one over again.
    """

    sqs: Any
    url: str
    delivered: list[dict[str, Any]] = field(default_factory=list)

    def take(self) -> dict[str, Any] | None:
        """Return an event with the messages that are visible now; None without any."""
        answer = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=0
        )
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:" + self.url.rpartition("/")[2],
                "awsRegion": "us-east-1",
            }
            for message in answer.get("Messages", ())
        ]
        self.delivered += records
        return {"Records": records} if records else None

    def run(self, handler: LambdaHandler, timeout_s: float = 30.0) -> list[str]:
        """Hand over what can be seen, batch by batch; return the `messageId` of those that failed.

        It ends when nothing comes but what has failed before.
        """
        failed: dict[str, None] = {}
        while (event := self.take()) is not None and not {one["messageId"] for one in event["Records"]} <= set(failed):
            answer = handler(event, LambdaContext(timeout_s=timeout_s))
            again = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
            failed |= dict.fromkeys(again)
            for record in event["Records"]:
                if record["messageId"] not in again:
                    self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])
        return list(failed)

    def counts(self) -> tuple[int, int, int]:
        """Return how many messages can be seen, are hidden, and are not to be seen yet."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        names.append("ApproximateNumberOfMessagesDelayed")
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        visible, hidden, delayed = (int(found[name]) for name in names)
        return visible, hidden, delayed
