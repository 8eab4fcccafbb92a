"""The bytes of a body, with a limit of the path's own."""

import pytest
from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from carboy.api.raw_body import read_body


class OldRequest(Request):
    """As Flask 3.0 has it: its limit comes from `app.config`, and cannot be set."""

    max_content_length = property(lambda _: None)  # pyright: ignore[reportIncompatibleMethodOverride]


@pytest.mark.parametrize("kind", [Request, OldRequest])
def test_a_limit_of_the_path_holds_with_every_version_of_flask(kind: type[Request]) -> None:
    """Whose requests may have a limit that can be set, or not."""

    def read(limit: int) -> bytes:
        environ = EnvironBuilder(method="POST", data=b"12345").get_environ()
        return read_body(kind({**environ, "carboy.max_body_bytes": limit}))

    assert read(5) == b"12345"
    with pytest.raises(RequestEntityTooLarge):
        read(4)
