"""
Where Alembic runs: on the one connection that may write, inside a transaction that is already open.

The journal hands its connection over (`reconciler.journal.schema`). Nothing is opened here, and
nothing is committed: all revisions become one transaction with what is checked after them.
"""

from alembic import context

from reconciler.journal.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Migrations run through the program: reconciler db upgrade")

context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()
