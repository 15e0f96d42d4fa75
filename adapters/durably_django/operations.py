"""Migration operations that make Durably's tables, where the setting ``DURABLY`` wants them; elsewhere they do nothing.

The SQL is Durably's own, and so is the record of what was applied: an executor that may migrate finds nothing to do.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from durably import schema
from durably.adapter import DialectName
from durably.schema import Tables
from durably_django.addresses import dialect
from durably_django.tables import Kind, belongs, tables


class _TablesOperation(Operation):
    """An operation on one kind of tables; or, for ``sqlmigrate``, its statements."""

    reduces_to_sql = True
    reversible = True
    kind: ClassVar[Kind]

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Durably's tables are no models, and so no state."""

    def database_forwards(
        self,
        app_label: str,  # noqa: ARG002  the signature is Django's
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,  # noqa: ARG002
        to_state: Any,  # noqa: ARG002
    ) -> None:
        """Do it, unless it was done."""
        self._run(schema_editor, self.apply, self.statements)

    def database_backwards(
        self,
        app_label: str,  # noqa: ARG002
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,  # noqa: ARG002
        to_state: Any,  # noqa: ARG002
    ) -> None:
        """Undo it."""
        self._run(schema_editor, self.undo, self.undoing_statements)

    def _run(self, schema_editor: BaseDatabaseSchemaEditor, act: Any, statements: Any) -> None:
        connection = schema_editor.connection
        if not belongs(self.kind, connection.alias):
            return
        if not schema_editor.collect_sql:
            act(tables(connection))
            return
        for statement in statements(dialect(connection.alias)):
            schema_editor.execute(statement, params=None)

    @abstractmethod
    def apply(self, to: Tables) -> None:
        """Do it."""

    @abstractmethod
    def statements(self, dialect: DialectName) -> Iterable[str]:
        """What does it on an empty database."""

    @abstractmethod
    def undo(self, to: Tables) -> None:
        """Undo it."""

    @abstractmethod
    def undoing_statements(self, dialect: DialectName) -> Iterable[str]:
        """What undoes it."""


class ApplyStep(_TablesOperation):
    """Apply one numbered step to the system database.

    Undoing the first drops everything; the others are undone with it, and applying them again finds them applied.
    """

    kind = "system"

    def __init__(self, version: int) -> None:
        self.version = version

    def apply(self, to: Tables) -> None:
        """Apply the step."""
        to.apply(self.version)

    def statements(self, dialect: DialectName) -> Iterable[str]:
        """Those of the step."""
        return next(step.statements for step in schema.steps(dialect) if step.version == self.version)

    def undo(self, to: Tables) -> None:
        """Drop the system tables, if this is the first step."""
        if self.version == 1:
            to.drop()

    def undoing_statements(self, dialect: DialectName) -> Iterable[str]:
        """The same."""
        return [f"DROP TABLE IF EXISTS {table}" for table in schema.tables(dialect) if self.version == 1]

    def describe(self) -> str:
        """For the output of migration commands."""
        return f"Step {self.version} of Durably's system tables, on the system database"


class CreateCompletionTable(_TablesOperation):
    """Make the table of completion rows on the adapters' aliases that are apart from the system database."""

    kind = "completion"

    def apply(self, to: Tables) -> None:
        """Make it."""
        to.create_completion_table()

    def statements(self, dialect: DialectName) -> Iterable[str]:
        """What makes it."""
        return schema.completion_table(dialect)

    def undo(self, to: Tables) -> None:
        """Drop it."""
        to.drop_completion_table()

    def undoing_statements(self, dialect: DialectName) -> Iterable[str]:
        """What drops it."""
        return schema.drop_completion_table(dialect)

    def describe(self) -> str:
        """For the output of migration commands."""
        return "Durably's completion rows, on the adapters' databases that are apart from the system database"
