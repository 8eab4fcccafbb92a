"""Orders, with Powertools for AWS Lambda."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

logger = Logger(service="orders")
app = APIGatewayHttpResolver()
processor = BatchProcessor(event_type=EventType.SQS)
orders = {}


@app.post("/orders")
def place():
    number = len(orders) + 1
    orders[number] = {"number": number, "item": app.current_event.json_body["item"]}
    logger.info("order placed", extra={"number": number})
    return orders[number], 201


@app.get("/orders/<number>")
def show(number):
    if int(number) not in orders:
        raise NotFoundError("there is no such order")
    return orders[int(number)]


def ship(record):
    orders.pop(int(record.body))


@logger.inject_lambda_context
def handler(event, context):
    return app.resolve(event, context)


def batch_handler(event, context):
    return process_partial_response(event=event, record_handler=ship, processor=processor, context=context)
