"""${message}."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    if not makes("carboy"):  # or "archive", "sms": the group of the tables; what spans two asks for each
        return
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    if not makes("carboy"):
        return
    ${downgrades if downgrades else "pass"}
