"""A closed file and its keys, in memory."""

import pytest
from tests.config.encrypted.kit import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
