"""Operations of the document in these tests."""

from typing import Any

from flask import request

from carboy.problems import Problem


def get_order(number: int, size: int = 1) -> dict[str, Any]:
    if number == 0:
        raise Problem(404, "there is no such order")
    if number == 500:
        raise RuntimeError("a secret of the service")
    return {"number": number, "size": size, "from": request.remote_addr}


def put_order(number: int, body: dict[str, Any]) -> dict[str, Any]:
    return body
