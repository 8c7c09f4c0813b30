"""The schema: as tables.py says, exact, and the same SQL on the hot path."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects.sqlite import dialect

from reconciler.journal import schema, statements, tables
from tests.journal.making import opened


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> sqlite3.Connection:
    path = tmp_path_factory.mktemp("schema") / "journal.db"
    opened(path).close()
    return sqlite3.connect(path)


def words(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).strip().replace("( ", "(").replace(" )", ")").replace(" ,", ",")


def test_migrations_make_what_the_tables_say(db: sqlite3.Connection) -> None:
    """Every table and index of tables.py is in a migrated database, word for word, and no other."""
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    question = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql <> ''"
    with engine.connect() as connection:
        expected = {row[0]: words(row[1]) for row in connection.exec_driver_sql(question)}
    found = {name: words(sql) for name, sql in db.execute(question)}
    assert found.pop("alembic_version")
    assert found == expected


def test_no_column_holds_a_double(db: sqlite3.Connection) -> None:
    """Contracts, money, prices and times are exact in every table; tables refuse other types."""
    for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        types = {row[2] for row in db.execute(f"PRAGMA table_info({name})")}
        assert types <= {"INTEGER", "TEXT", "BLOB", "ANY", "VARCHAR(32)"}, name
        assert name == "alembic_version" or "STRICT" in sql, name
    with pytest.raises(sqlite3.IntegrityError, match="REAL"):
        db.execute("INSERT INTO adjustments VALUES (1, 1, 'XBTUSD', 0.5, 'me', 'why')")


def test_every_append_only_table_has_both_triggers(db: sqlite3.Connection) -> None:
    """What tables.py calls append-only, the database defends."""
    found = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for table in tables.APPEND_ONLY:
        assert {f"{table}_no_update", f"{table}_no_delete"} <= found


def test_the_newest_revision_is_the_one_that_the_program_needs() -> None:
    """A new revision without its number in the program would never be run."""
    config = Config()
    config.set_main_option("script_location", str(schema.migrations_folder()))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.SCHEMA


def test_the_hot_path_runs_what_sqlalchemy_compiles() -> None:
    """Each SQL text, compiled again, is the text that runs, parameters in the same order."""
    for name, made in statements.STATEMENTS.items():
        compiled = made.compile(dialect=dialect(paramstyle="qmark"))
        assert str(compiled) == statements.HOT[name]
        assert tuple(compiled.positiontup or ()) == statements.PARAMETERS[name]
        assert statements.HOT[name].count("?") == len(statements.PARAMETERS[name])


@pytest.mark.parametrize("name", sorted(statements.STATEMENTS))
def test_whole_rows_are_in_the_order_of_their_columns(name: str) -> None:
    """An insert of the hot path takes the values of a row in the order of the table."""
    made = statements.STATEMENTS[name]
    if made.is_insert and name not in {"fills", "venue_orders"}:  # their key is looked up
        assert statements.PARAMETERS[name] == tuple(column.name for column in made.table.c)


def test_the_migrations_refuse_to_run_by_themselves(tmp_path: Path) -> None:
    """Alembic's own command has no connection that may write, and says which command has."""
    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(schema.migrations_folder()))
    with pytest.raises(SystemExit, match="reconciler db upgrade"):
        command.upgrade(config, "head")
