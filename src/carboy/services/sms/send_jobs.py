"""The jobs that send messages, as rows name them, and how a template's messages are sent again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carboy.jobs import Job
from carboy.services.sms.templates import Template


@dataclass(frozen=True, slots=True)
class Resend:
    """How messages of a template are sent again after a temporary failure: at most so often, by a job of their kind."""

    most: int
    job: Job[[int, list[int]]]


def run_by_the_application(*_arguments: Any) -> None:
    """Stand for the function of a job that only names rows; an application runs it by a function of its own objects."""
    raise NotImplementedError


OTP_JOB: Job[[int, list[int]]] = Job("sms.otp", run_by_the_application, attempts=1000, priority=1)
"""What a row says of the job; an application runs it by the function of its own `Dispatcher`."""

BULK_JOB: Job[[int, list[int]]] = Job("sms.send", run_by_the_application, attempts=1000, priority=4)
"""Likewise, for messages without a one-time password."""


def plan_resends(templates: Mapping[str, Template]) -> dict[str, Resend]:
    """Return how messages are sent again after a temporary failure, by template; others are not sent again."""
    return {
        name: Resend(one.retry_undelivered, OTP_JOB if one.otp else BULK_JOB)
        for name, one in templates.items()
        if one.retry_undelivered
    }
