"""
The tables of what led to an order are written right after it was sent.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE journal ADD COLUMN commit_seq INTEGER")


def downgrade() -> None:
    raise NotImplementedError("what 0002 wrote, 0001 may not find: restore a backup")
