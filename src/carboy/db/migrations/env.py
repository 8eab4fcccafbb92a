"""Run by Alembic: migrate on the connection that `carboy.db.migrate` opened."""

from alembic import context

from carboy.db.own_tables import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
