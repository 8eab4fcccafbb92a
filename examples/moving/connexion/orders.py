"""The operations; the same file before and after."""


def show(number, currency):
    return {"number": number, "currency": currency}
