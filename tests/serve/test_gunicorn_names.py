"""What is used of gunicorn beside its documentation is there, in the version that is installed."""

import inspect
from importlib import import_module

import pytest
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from carboy.serve.gunicorn_worker import PRIVATE_NAMES, BufferingWorker


@pytest.mark.parametrize("place", PRIVATE_NAMES)
def test_the_names_are_there(place: str) -> None:
    """A release of gunicorn without one of them fails here, and not in production."""
    module, _, name = place.partition(":")
    owner = getattr(import_module(module), name)

    assert [one for one in PRIVATE_NAMES[place] if not hasattr(owner, one)] == []


def test_what_is_overridden_takes_the_same_arguments() -> None:
    """Gunicorn calls these by position."""
    ours = {name: one for name, one in vars(BufferingWorker).items() if inspect.isfunction(one)}
    shared = {name for name in ours if name in dir(ThreadWorker) and not name.startswith("__")}

    assert shared <= set(PRIVATE_NAMES["gunicorn.workers.gthread:ThreadWorker"])
    for name in shared:
        assert list(inspect.signature(ours[name]).parameters) == list(
            inspect.signature(getattr(ThreadWorker, name)).parameters
        ), name


def test_a_request_says_whether_100_continue_is_due() -> None:
    """The worker sends it while the body arrives, and clears this."""
    assert Request._expected_100_continue is False  # pyright: ignore[reportAttributeAccessIssue]
