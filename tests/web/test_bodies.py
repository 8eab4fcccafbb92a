"""How large a body may be, and in which form it comes."""

import io
from typing import Any

import pytest
from flask import Flask, request


def _register(app: Flask) -> None:
    @app.post("/echo")
    def echo() -> bytes:
        return request.get_data()


@pytest.mark.parametrize(("size", "status"), [(0, 200), (99, 200), (100, 200), (101, 413), (10_000, 413)])
def test_a_body_has_a_size_at_most(make_app: Any, size: int, status: int) -> None:
    """`MAX_BODY_BYTES`, exactly."""
    answer = make_app(_register, max_body_bytes=100).test_client().post("/echo", data=b"x" * size)

    assert answer.status_code == status


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413), (1_000_000, 413)])
def test_a_chunked_body_has_the_same(make_app: Any, size: int, status: int) -> None:
    """Without a length it is cut where it grows too long."""
    answer = (
        make_app(_register, max_body_bytes=100)
        .test_client()
        .post(
            "/echo",
            input_stream=io.BytesIO(b"x" * size),
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
    )

    assert answer.status_code == status
    assert status == 200 or answer.content_type == "application/problem+json"


@pytest.mark.parametrize("length", ["9" * 5000, "101", "00000000101"])
def test_a_length_is_believed_before_the_body_is_read(make_app: Any, length: str) -> None:
    """However it is written."""
    environ = {"CONTENT_LENGTH": length}
    answer = make_app(_register, max_body_bytes=100).test_client().post("/echo", environ_overrides=environ)

    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["", "x", "-1", "²", "1e9"])
def test_an_invalid_length_harms_no_other_client(make_app: Any, length: str) -> None:
    """Servers refuse them; what comes through is not an error of the service."""
    environ = {"CONTENT_LENGTH": length}
    answer = make_app(_register, max_body_bytes=100).test_client().post("/echo", environ_overrides=environ)

    assert answer.status_code < 500


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, identity", "GZIP", "x"])
def test_a_compressed_body_is_refused(make_app: Any, encoding: str) -> None:
    """A small body cannot become a large one."""
    answer = make_app(_register).test_client().post("/echo", data=b"x", headers={"Content-Encoding": encoding})

    assert answer.status_code == 415
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("encoding", ["identity", "Identity", "", " "])
def test_a_plain_body_may_say_so(make_app: Any, encoding: str) -> None:
    """`identity` is no compression."""
    answer = make_app(_register).test_client().post("/echo", data=b"x", headers={"Content-Encoding": encoding})

    assert answer.data == b"x"
