"""Orders, deployed by `chalice deploy`."""

from chalice import Chalice, NotFoundError, Rate

app = Chalice(app_name="orders")
orders = {}


@app.route("/orders", methods=["POST"], cors=True)
def place():
    body = app.current_request.json_body
    number = len(orders) + 1
    orders[number] = {"number": number, "item": body["item"]}
    return orders[number]


@app.route("/orders/{number}")
def show(number):
    if int(number) not in orders:
        raise NotFoundError("there is no such order")
    return orders[int(number)]


@app.schedule(Rate(1, unit=Rate.HOURS))
def sweep(event):
    orders.clear()


@app.on_sqs_message(queue="orders", batch_size=10)
def ship(event):
    for record in event:
        orders.pop(int(record.body), None)
