"""The schema for tools that own an application's migrations: what it makes is what Durably itself would have made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from durably import Durably, schema
from durably.adapter import DialectName
from durably.schema import Tables


class Tool:
    """A migration tool on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect: DialectName = "sqlite" if url.startswith("sqlite") else "postgresql"
        self.connection: Any = (
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            if self.dialect == "sqlite"
            else psycopg.connect(url, autocommit=True)
        )
        self.tables = Tables(self.dialect, "qmark" if self.dialect == "sqlite" else "format", self.execute)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(sql, params)
        return cursor.fetchall() if cursor.description else []

    def names(self) -> set[str]:
        """Every table of Durably's that is there."""
        if self.dialect == "sqlite":
            return {
                row[0]
                for row in self.execute("SELECT name FROM sqlite_master WHERE name GLOB 'durably_*' AND type = 'table'")
            }
        return {
            f"durably.{row[0]}" for row in self.execute("SELECT tablename FROM pg_tables WHERE schemaname='durably'")
        }


@pytest.fixture
def tool(system_url: str) -> Iterator[Tool]:
    tool = Tool(system_url)
    yield tool
    tool.connection.close()


def launch(url: str, *, run_migrations: bool) -> None:
    with Durably("shop", system_database_url=url, run_migrations=run_migrations):
        pass


def test_the_statements_of_all_steps_make_the_system_database(tool: Tool) -> None:
    for step in schema.steps(tool.dialect):
        for statement in step.statements:
            tool.execute(statement)
    assert tool.names() == set(schema.tables(tool.dialect))
    launch(tool.url, run_migrations=False)
    launch(tool.url, run_migrations=True)


def test_steps_are_applied_once_through_the_tools_connection(tool: Tool) -> None:
    assert tool.tables.pending() == schema.steps(tool.dialect)
    for step in schema.steps(tool.dialect):
        assert tool.tables.apply(step.version)
        assert not tool.tables.apply(step.version)
    assert tool.tables.pending() == []
    launch(tool.url, run_migrations=False)


def test_it_can_be_dropped_and_made_again(tool: Tool) -> None:
    launch(tool.url, run_migrations=True)
    tool.tables.drop()
    assert tool.names() == set()
    assert tool.tables.pending() == schema.steps(tool.dialect)
    launch(tool.url, run_migrations=True)


def test_it_can_be_emptied(tool: Tool) -> None:
    tool.tables.empty()  # without any tables that is nothing
    launch(tool.url, run_migrations=True)
    tool.tables.create_completion_table()
    before = tool.names()
    *others, recorded = schema.tables(tool.dialect)
    inputs = next(name for name in others if name.endswith("workflow_inputs"))
    tool.execute(f"INSERT INTO {inputs} (workflow_uuid, inputs, serialization) VALUES ('a', '[]', 'json')")
    tool.tables.empty()
    for table in before - {recorded}:
        assert tool.execute(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert tool.names() == before
    assert tool.tables.pending() == []


def test_completion_rows_have_their_own_table(tool: Tool) -> None:
    assert not tool.tables.has_completion_table()
    tool.tables.create_completion_table()
    tool.tables.create_completion_table()
    assert tool.tables.has_completion_table()
    tool.tables.drop_completion_table()
    assert tool.names() == set()
    for statement in (*schema.completion_table(tool.dialect), *schema.completion_table(tool.dialect)):
        tool.execute(statement)
    assert tool.tables.has_completion_table()


def test_mysql_has_completion_rows_only() -> None:
    assert schema.steps("mysql") == []
    assert schema.tables("mysql") == []
    assert len(schema.completion_table("mysql")) == 1
