"""No secret reaches a line, whichever way it comes."""

import logging
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logs.kit import Lines

from carboy import logs
from carboy.redact import Secret, register_secret

log = logs.get_logger("app")
lib = logging.getLogger("lib")
VALUE = "s3cr3t-Value/+0"


def _log_facts(secret: str) -> None:
    log.info("x", password=secret, d={"Authorization": f"Bearer {secret}", "list": [{"apiKey": secret}]})


def _log_holders(secret: str) -> None:
    log.info("x", v=Secret(secret), deep=[Secret(secret)])
    lib.info("x %s %r", Secret(secret), [Secret(secret)], extra={"v": Secret(secret)})


def _log_texts(secret: str) -> None:
    log.info("password=%s", secret)
    log.info("x", url=f"https://u:{secret}@h/", query=f"a=1&token={secret}", header=f"Bearer {secret}")
    log.info("x", body=f'{{"password":"{secret}"}}')
    log.info("x", body=f"<password>{secret}</password>")
    log.info("curl -u user:%s", secret)
    lib.info("mysql --password %s", secret)
    log.info("x", sql=f"identified by '{secret}'")


def _log_exceptions(secret: str) -> None:
    pair = ("Authorization", secret)
    for error in (ValueError({"password": secret}), KeyError("x", [pair]), RuntimeError(pair), ValueError(f"{[pair]}")):
        log.info("x", v=error, deep=[error])
        log.error("x", exc_info=error)
        lib.info("failed: %s", error)


def _log_by_library(secret: str) -> None:
    lib.info("headers %s", {"Authorization": secret})
    lib.info("%(password)s and %(x)s", {"password": secret, "x": 1})
    lib.info("x", extra={"password": secret, "d": {"token": secret}})


def _log_tracebacks(secret: str) -> None:
    try:
        try:
            raise KeyError(f"token={secret}")
        except KeyError as cause:
            raise ValueError({"password": secret}) from cause
    except ValueError as error:
        error.add_note(f"Bearer {secret}")
        log.exception("x")
        lib.exception("x")
        log.info("x", error=error)


def _log_context(secret: str) -> None:
    with logs.request_context("r", password=secret, deep={"token": secret}):
        log.info("x")
        log.bind(cookie=secret).info("y")


@pytest.mark.parametrize(
    "say",
    [_log_facts, _log_holders, _log_texts, _log_exceptions, _log_by_library, _log_tracebacks, _log_context],
)
@pytest.mark.parametrize("format", ["json", "console"])
def test_a_secret_does_not_reach_a_line(say: Any, format: str) -> None:  # noqa: A002
    """By the name of its key, by its holder, or by how it stands in text."""
    stream = Lines()
    logs.setup("DEBUG", format, stream)

    say(VALUE)

    assert "***" in stream.getvalue()
    assert VALUE not in stream.getvalue()


def _log_everywhere(value: str) -> None:
    log.info("x", v=value)
    log.info("x", v=[{"k": f"a{value}b"}], **{f"k_{value}": 1})
    log.info("x", **{f"k_{value}": 1})
    log.info("a " + value)  # noqa: G003
    lib.info("a %s b", value, extra={"v": value.encode()})
    try:
        raise ValueError(f"a{value}b")
    except ValueError:
        log.exception("x")
        lib.exception("x")
    with logs.request_context(value):
        log.info("x")
    logs.get_logger(value).info("x")


@pytest.mark.slow
@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40))
def test_a_value_handed_out_as_a_secret_does_not_reach_a_line(value: str) -> None:
    """With any content, in any place."""
    unique = uuid.uuid4().hex[:8]
    value = unique + value
    register_secret(value)
    stream = Lines()
    logs.setup("DEBUG", "json", stream)

    _log_everywhere(value)

    assert unique not in stream.getvalue()
    assert len(stream.read_all) == 9


def test_a_secret_at_the_place_of_the_cut_is_masked_whole() -> None:
    """A value that is cut must not leave half a secret behind."""
    register_secret(VALUE)
    stream = Lines()
    logs.setup("INFO", "json", stream, max_chars=1000)

    for at in range(980, 1001):
        log.info("x", v="a" * at + VALUE + "b" * 5000)

    assert "s3c" not in stream.getvalue()


def test_whether_a_secret_is_set_is_shown(lines: Lines) -> None:
    """None and a bool under a secret's name show the error, and contain nothing secret."""
    log.info("x", password=None, token=False, token_count=3, secret_name="prod/db")

    assert lines.last == lines.last | {"password": None, "token": False, "token_count": 3, "secret_name": "prod/db"}
