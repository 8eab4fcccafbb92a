"""Files of every format version, kept for ever: what could be read once can be read always."""

from pathlib import Path

import pytest
from tests.lab.signing_keys import MemoryKeys

from carboy.config.encrypted.decrypt import open_secrets, open_text, render_stage
from carboy.config.encrypted.keyring import Keyring
from carboy.config.encrypted.structure import parse_config

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = {
    "foo": "bar",
    "password": "prod-pässwörd 🔑",
    "certificate": "-----BEGIN-----\nabc\n-----END-----\n",
    8080: "a number for a key",
    "list": [{"user": "bob", "password": "bob-pw"}, "plain", 1.5, True, None],
}


@pytest.mark.parametrize("name", ["format-1.yml", "format-2.yml", "format-2-mixed.yml", "format-2-added.yml"])
def test_a_file_of_every_format_is_read_for_ever(name: str) -> None:
    """Never change these files; add one for each new format."""
    data = (GOLDEN / name).read_bytes()
    ring = Keyring(lambda _: MemoryKeys("prod-key", "dev-key", secret=b"golden"), "carboy")
    config = parse_config(data, name)

    assert render_stage(config, "prod", ring) == EXPECTED
    assert render_stage(config, "dev", ring)["password"] == "dev-password"
    opened = open_text(open_secrets(config, ring))
    assert opened.splitlines()[0] == "# golden"
    assert "    +/.*/: :encrypt:dev-password  # for all others\n" in opened
