"""The transaction that the caller has open already, where its ORM can tell: what may happen in it, and what may not.

A start joins it: the workflow exists exactly if the caller's transaction commits. That takes one database for both,
which the database is asked when a half first joins. A direct call cannot join: its steps commit by themselves.

Only adapters with ``savepoint`` are asked (see ``durably.adapter.Joins``): where a mere read begins a transaction, as
in a scoped session of SQLAlchemy, nobody may ever commit it.
"""

from __future__ import annotations

from typing import Any

from durably import context
from durably.declared import Declaration
from durably.drive import running_loop
from durably.errors import AmbientTransactionError
from durably.execution.adapters import Adapters, Half
from durably.ledger import queries
from durably.ledger.commands import Started, StartWorkflow
from durably.ledger.ledger import Ledger
from durably.ledger.listening import FOR_EXECUTORS
from durably.sql import starting

_WAYS_OUT = (
    "start it after the commit (on Django: `transaction.on_commit(lambda: durably.start_workflow(...))`; a view under "
    "ATOMIC_REQUESTS can be taken out with `@transaction.non_atomic_requests`), or leave the transaction first; "
    "`with durably.outside_transaction():` has Durably take no notice of it"
)


class Open:
    """A transaction that the caller has open, and the half of the adapter that it goes through."""

    def __init__(self, half: Half, handle: Any) -> None:
        self.half = half
        self.handle = handle

    async def holds(self, ledger: Ledger) -> bool:
        """Whether it is a transaction of the system database itself. Asked with a read of its own on either side."""
        if self.half.is_system_database is None:
            identity = self.half.dialect.identity
            ours: list[tuple[Any, ...]] = []
            theirs: list[tuple[Any, ...]] = []
            if identity is not None and self.half.dialect is ledger.backend.dialect:
                ours = await self.half.execute(self.handle, identity)
                theirs = await ledger.read(lambda session: session.execute(identity))
            self.half.is_system_database = bool(ours) and ours[:1] == theirs[:1]
        return self.half.is_system_database

    async def start(self, command: StartWorkflow) -> Started:
        """Write a workflow's row in it, unless its id is taken. It waits for an executor once that is committed."""
        if await self.half.execute(self.handle, starting.START, command.row):
            inputs = (command.workflow_id, command.inputs, command.serialization)
            await self.half.execute(self.handle, starting.INPUTS, inputs)
            if self.half.dialect.notify is not None:
                await self.half.execute(
                    self.handle, self.half.dialect.notify, (FOR_EXECUTORS, f"w:{command.application_name}")
                )
            return Started(True)
        rows = await self.half.execute(self.handle, *queries.statuses_statement([command.workflow_id]))
        return Started(False, queries.statuses_of(rows).get(command.workflow_id))


def open_transaction(adapters: Adapters) -> Open | None:
    """The caller's open transaction that Durably is to mind, if an adapter can tell of one."""
    if context.transactions_ignored():
        return None
    on_loop = running_loop() is not None
    for half in adapters.halves():
        if not half.joins or (half.asynchronous and not on_loop):
            continue  # an asynchronous half's transactions belong to tasks
        handle = half.adapter.ambient()
        if handle is not None:
            return Open(half, handle)
    return None


def refuse_call(declaration: Declaration, joined: Open) -> AmbientTransactionError:
    """The error for a workflow that is called while a transaction is open."""
    return AmbientTransactionError(
        f"{declaration} was called while a transaction is open through adapter {joined.half.name!r}. Its steps and "
        f"transactions commit one by one, which they cannot do in there: {_WAYS_OUT}; or start it with "
        "`durably.start_workflow(...)`, where the application database is the system database",
        adapter=joined.half.name,
    )


def refuse_start(declaration: Declaration, joined: Open) -> AmbientTransactionError:
    """The error for a start that cannot join, since the databases are two."""
    return AmbientTransactionError(
        f"{declaration} was started while a transaction is open through adapter {joined.half.name!r}, whose database "
        "is not the system database, so that the start would not be undone with it, and might run before its commit: "
        f"{_WAYS_OUT}",
        adapter=joined.half.name,
    )
