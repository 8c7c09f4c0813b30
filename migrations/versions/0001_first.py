"""
The journal and everything that follows from it.

Revision ID: 0001
Revises: none
"""

from pathlib import Path

from alembic import op

from reconciler.journal.ddl import statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    for name in ("0001_tables", "0001_triggers", "0001_views"):
        for statement in statements(SQL / f"{name}.sql"):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    raise NotImplementedError("there is nothing older than 0001: restore a backup")
