"""Jitter and sampling use the system's random numbers: a seeded application keeps its own."""

import ast
import random
from pathlib import Path

import pytest
from flask import Flask

import carboy
from carboy.retry import Retry
from carboy.trace import Sampler

# an application's own generator is seeded again after a Lambda snapshot; ports are drawn from the system's
OF_THE_SHARED = {"serve/lambda_/handler.py", "testing/ports.py"}


def test_a_seed_of_the_application_gives_the_same_numbers_whatever_was_drawn() -> None:
    random.seed(7)
    expected = [random.random() for _ in range(3)]

    random.seed(7)
    app = Flask("seeded")
    carboy.init_app(app)
    for _ in range(20):
        app.test_client().get("/livez")
        Retry().backoff_s(1)
        Sampler(0.5)()

    assert [random.random() for _ in range(3)] == expected


@pytest.mark.slow
def test_no_module_draws_from_the_generator_that_an_application_may_seed() -> None:
    root = Path(carboy.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import) and any(name.name == "random" for name in node.names)
    }

    assert found == OF_THE_SHARED
