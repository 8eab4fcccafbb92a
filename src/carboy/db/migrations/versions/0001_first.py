"""Jobs, API keys and the archive's index."""

import sqlalchemy as sa
from alembic import op

from carboy.db.migrate import makes

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    if makes("carboy"):
        _make_jobs()
        _make_keys()
    if makes("archive"):
        _make_archive()


def downgrade() -> None:
    """Drop them with all that they hold."""
    if makes("archive"):
        op.drop_table("archive_items")
    if makes("carboy"):
        op.drop_table("carboy_keys")
        op.drop_table("carboy_jobs")


def _make_jobs() -> None:
    op.create_table(
        "carboy_jobs",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("args", sa.LargeBinary(1 << 20), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("run_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("owner", sa.String(160)),
        sa.Column("request_id", sa.String(128)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carboy_jobs")),
        sa.UniqueConstraint("key", name=op.f("uq_carboy_jobs_key")),
    )
    if op.get_bind().dialect.name in {"mysql", "mariadb"}:  # no partial indexes there: the state comes first
        for columns in (["priority", "run_at"], ["lease_until"], ["finished_at"], ["id"]):
            name = "ix_carboy_jobs_" + {"priority": "queued", "lease_until": "running", "id": "dead"}.get(
                columns[0], "finished"
            )
            op.create_index(name, "carboy_jobs", ["state", *columns])
        return
    for name, columns, state in (
        ("queued", ["priority", "run_at"], "queued"),
        ("running", ["lease_until"], "running"),
        ("finished", ["finished_at"], "done"),
        ("dead", ["id"], "dead"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(f"ix_carboy_jobs_{name}", "carboy_jobs", columns, sqlite_where=where, postgresql_where=where)


def _make_keys() -> None:
    op.create_table(
        "carboy_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carboy_keys")),
    )


def _make_archive() -> None:
    op.create_table(
        "archive_items",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("item_id", sa.String(255), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("newest", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("detail", sa.String(8), nullable=False),
        sa.Column("object_key", sa.String(1024), nullable=False),
        sa.Column("detail_key", sa.String(1024)),
        sa.Column("detail_sha256", sa.LargeBinary(32)),
        sa.Column("content_type", sa.String(255), nullable=False),
        sa.Column("headers", sa.LargeBinary(1 << 20)),
        sa.Column("body", sa.LargeBinary(1 << 28)),
        sa.Column("severity", sa.String(255)),
        sa.Column("organization_id", sa.String(255)),
        sa.Column("origin", sa.String(255)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_items")),
        sa.UniqueConstraint("source", "item_id", "digest", name=op.f("uq_archive_items_source_item_id_digest")),
    )
    for extra in ([], ["severity"], ["organization_id"], ["origin"]):
        columns = ["source", *extra, "at", "id"]
        op.create_index(
            "ix_archive_items_" + "_".join(columns),
            "archive_items",
            columns,
            sqlite_where=sa.text("newest IS 1"),
            postgresql_where=sa.text("newest IS true"),
        )
