"""Helpers shared by the tests of `config/encrypted`."""

from dataclasses import dataclass, field

from tests.lab.signing_keys import MemoryKeys

from carboy.config.encrypted.decrypt import Opened, open_secrets, open_text, render_stage
from carboy.config.encrypted.encrypt import close_text
from carboy.config.encrypted.keyring import Keyring
from carboy.config.encrypted.structure import parse_config

OPEN = """\
# what the service reads
stages:                                 # stage definitions
  prod:
    environment: prod
    key: prod-key
  /.*/:                                 # any other stage
    environment: dev
    key: dev-key
config:
  foo: bar                              # plain text
  password:
    +prod: :encrypt:my-prod-password
    +/.*/: :encrypt:my-dev-password
  nested:
    inner_var: value
    a_list:
      - username1:
          +prod: bob-prod
          +/.*/: bob-dev
        password1:
          +prod: :encrypt:bob-prod-pw   # who needs it: the mailer
          +/.*/: :encrypt:bob-dev-pw
      - username2: user2
        password2:
          +prod: :encrypt:prod-pw2
          +/.*/: :encrypt:dev-pw2
"""


@dataclass
class Desk:
    """What a person does with a closed file, in a line each."""

    keys: MemoryKeys = field(default_factory=lambda: MemoryKeys("prod-key", "dev-key"))
    text: str = OPEN

    def ring(self, **settings: object) -> Keyring:
        return Keyring(lambda _: self.keys, "carboy", **settings)  # type: ignore[arg-type]

    def close(self, text: str, old: str | None = None) -> str:
        closed = close_text(text, "stdin", self.open(old) if old else None, self.ring())
        return old or "" if closed is None else closed

    def open(self, closed: str) -> Opened:
        return open_secrets(parse_config(closed, "config.yml"), self.ring())

    def open_text(self, closed: str) -> str:
        return open_text(self.open(closed))

    def render(self, closed: str, stage: str = "prod", **settings: object) -> dict[str, object]:
        return render_stage(parse_config(closed, "config.yml"), stage, self.ring(**settings))

    def fleece(self, text: str | None = None) -> str:
        """Return the file as Fleece would close it."""
        from carboy.config.encrypted.key_paths import Path
        from carboy.config.encrypted.yaml_document import replace_scalars

        config = parse_config(text or self.text, "open")
        texts: dict[Path, str] = {
            ("config", *path): self.ring().close_old(stage, secret.removeprefix(":encrypt:"))
            for path, (secret, stage) in config.secrets.items()
        }
        return replace_scalars(
            config.document, texts, lambda value, indent: value if indent is not None else f'"{value}"'
        )
