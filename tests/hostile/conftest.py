"""The whole gateway, as hostile callers meet it."""

from collections.abc import Iterator

import pytest
from flask import Flask
from tests.lab.threat_stack import ThreatStack

from carboy import logs
from carboy.web import create_app, runtime
from carboy.web.auth.api_keys import SCOPES

TOML = """
[default.archive.sources.open]
verify = "none"
id = "/id"
time = "/time"

[default.archive.sources.github]
verify = "github"
secrets = ["a secret"]
tokens = ["token"]
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Everything that a gateway serves, with its jobs running and an API that answers."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "carboy.toml").write_text(TOML)
    with ThreatStack() as threat_stack:
        made = create_app(
            "test",
            folder=folder,
            instance_path=str(folder / "instance"),
            archive_url="memory://",
            rate_limit="off",
            threatstack_api_key="test-api-key",
            threatstack_base_url=threat_stack.base_url,
            threatstack_rate="off",
            log_level="ERROR",
        )
        engine = runtime(made).jobs.engine
        assert engine is not None
        engine.start()
        yield made
        runtime(made).close()
    logs.reset()


@pytest.fixture(scope="module")
def key(app: Flask) -> str:
    """A key that may do everything."""
    return str(runtime(app).keys.store.create("test", sorted(SCOPES))[1])
