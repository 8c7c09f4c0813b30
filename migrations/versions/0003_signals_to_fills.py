"""
From a signal to its fills: strategies, shares, schedules, modes, refusals.

`targets` and `intents` get more columns. SQLite can only append a column behind the constraints of
a table, so both are made anew and their rows copied; the views refer to them, and so are they.

Revision ID: 0003
Revises: 0002
"""

from pathlib import Path

from alembic import op

from reconciler.journal.ddl import statements

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
REMADE = ("targets", "intents")


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    for (view,) in run("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
        run(f"DROP VIEW {view}")
    for name in REMADE:
        run(f"ALTER TABLE {name} RENAME TO {name}_before")
    run("DROP INDEX intents_by_target")
    for statement in statements(SQL / "0003_tables.sql"):
        run(statement)
    for name in REMADE:
        columns = [row[1] for row in run(f"PRAGMA table_info({name}_before)").fetchall()]
        listed = ", ".join(f'"{column}"' for column in columns)
        run(f"INSERT INTO {name} ({listed}) SELECT {listed} FROM {name}_before")
        run(f"DROP TABLE {name}_before")
    for file in ("0003_triggers", "0003_views"):
        for statement in statements(SQL / f"{file}.sql"):
            run(statement)


def downgrade() -> None:
    raise NotImplementedError("what 0003 wrote, 0002 does not know: restore a backup")
