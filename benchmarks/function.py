"""The gateway as a function on Lambda with an SQS trigger that delivers batches of ten.

`python -m benchmarks.function <the queue's URL>`
"""

import sys

from carboy.aws import client
from carboy.serve import lambda_handler
from carboy.testing.events import LambdaContext
from carboy.web import create_app


def main() -> None:
    """Poll, hand over, delete."""
    url = sys.argv[1]
    handler, sqs = lambda_handler(create_app), client("sqs")
    while True:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"], WaitTimeSeconds=1
        )
        records = [
            {
                "messageId": one["MessageId"],
                "receiptHandle": one["ReceiptHandle"],
                "body": one["Body"],
                "attributes": one["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:" + url.rpartition("/")[2],
            }
            for one in answer.get("Messages", ())
        ]
        if records:
            failed = {
                one["itemIdentifier"] for one in handler({"Records": records}, LambdaContext())["batchItemFailures"]
            }
            done = [
                {"Id": str(at), "ReceiptHandle": one["receiptHandle"]}
                for at, one in enumerate(records)
                if one["messageId"] not in failed
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=done)


if __name__ == "__main__":
    main()
