"""Bring a ledger's database to today's schema. Alembic is imported only where there is an older one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from skynb.control import schema
from skynb.control.database import begun

HEAD = "0003"
_FOLDER = Path(__file__).with_name("migrations")
_STAMP = (  # as Alembic would make it
    "CREATE TABLE alembic_version "
    "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def migrate(engine: Engine) -> None:
    """Make the tables, or upgrade them, in one transaction; a database already at HEAD costs one query."""
    with begun(engine, reading=True) as connection:
        if _revision(connection) == HEAD:
            return
    with begun(engine) as connection:
        if connection.dialect.name == "postgresql":  # two servers may start at once
            connection.execute(text("SELECT pg_advisory_xact_lock(7219)"))
        if _revision(connection) is None:
            schema.metadata.create_all(connection, checkfirst=False)
            connection.execute(text(_STAMP))
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        else:
            upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Take every step from the connection's schema, which may be none at all, to today's."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else None
