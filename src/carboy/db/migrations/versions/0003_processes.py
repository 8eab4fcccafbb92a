"""What many processes share, and versions of an archived id that no two of them can add at once."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes

revision = "0003"
down_revision = "0002"

_DIGESTS = "uq_archive_items_source_item_id_digest"
_VERSIONS = "uq_archive_items_source_item_id_version"
_INDEXES = [["source", *more, "at", "id"] for more in ([], ["severity"], ["organization_id"], ["origin"])]


def upgrade() -> None:
    """Make the table of what is shared; number the versions, and leave one of each id as the newest."""
    if makes("carboy"):
        _make_shared()
    if makes("archive"):
        op.add_column("archive_items", sa.Column("version", sa.Integer, nullable=False, server_default="0"))
        _number_versions()
        _swap(_DIGESTS, _VERSIONS, "version")


def downgrade() -> None:
    """Go back to digests; what was shared is forgotten."""
    if makes("archive"):
        _swap(_VERSIONS, _DIGESTS, "digest")
        op.drop_column("archive_items", "version")
    if makes("carboy"):
        op.drop_table("carboy_shared")


def _make_shared() -> None:
    op.create_table(
        "carboy_shared",
        sa.Column("name", sa.String(150), nullable=False),
        sa.Column("value", sa.LargeBinary(60_000), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_carboy_shared")),
    )
    op.create_index(op.f("ix_carboy_shared_expires_at"), "carboy_shared", ["expires_at"])


def _swap(old: str, new: str, column: str) -> None:
    """Replace a constraint; SQLite copies the table for that and needs its indexes created again."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for columns in _INDEXES if is_sqlite else ():
        op.drop_index("ix_archive_items_" + "_".join(columns), "archive_items")
    with op.batch_alter_table("archive_items") as batch:
        batch.create_unique_constraint(op.f(new), ["source", "item_id", column])
        batch.drop_constraint(op.f(old), type_="unique")
    for columns in _INDEXES if is_sqlite else ():
        name = "ix_archive_items_" + "_".join(columns)
        op.create_index(name, "archive_items", columns, sqlite_where=sa.text("newest IS 1"))


def _number_versions() -> None:
    """Few ids have more than one."""
    items = sa.table("archive_items", *(sa.column(name) for name in ("id", "source", "item_id", "version", "newest")))
    connection = op.get_bind()
    several = sa.select(items.c.source, items.c.item_id).group_by(items.c.source, items.c.item_id)
    for source, item_id in connection.execute(several.having(sa.func.count() > 1)).all():
        same = (items.c.source == source) & (items.c.item_id == item_id)
        ids = list(connection.execute(sa.select(items.c.id).where(same).order_by(items.c.id)).scalars())
        for version, row in enumerate(ids):
            newest = sa.true() if row == ids[-1] else sa.false()
            connection.execute(sa.update(items).where(items.c.id == row).values(version=version, newest=newest))
