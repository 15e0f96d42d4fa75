"""The client that stands for Tortoise's connection during a transaction, and the watch that it keeps.

It is Tortoise's own client, of a class derived from the driver's: it refuses to be ended by the transaction's
function, to be used after its end by a task that outlived it, and to go on where the database has rolled back unseen.
What goes to the driver directly is not seen; the core's own guard, in the database, finds that at the record.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tortoise.backends.base.client import (
    BaseDBAsyncClient,
    ConnectionWrapper,
    NestedTransactionContext,
    TransactionalDBClient,
)

from durably import DurablyError, NoTransactionError, TransactionEndedError
from durably_tortoise.drivers import Driver

_ENDS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!(?:\s+(?:WORK|TRANSACTION))?\s+TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)


class Guard:
    """The watch on one transaction, from its BEGIN until Durably ends it."""

    __slots__ = ("driver", "failure", "lost", "over", "refused")

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        #: Durably has ended it, or is about to.
        self.over = False
        #: The first failed statement outside a savepoint; whoever caught its error may have gone on.
        self.failure: BaseException | None = None
        #: That failure has rolled back more than its own statement.
        self.lost = False
        #: Set once the function has tried to end the transaction, which then cannot be recorded any more.
        self.refused: DurablyError | None = None

    def use(self) -> None:
        """Before every use: nothing runs before its BEGIN or after its end."""
        if self.over:
            raise NoTransactionError(
                "a task went on using Tortoise after the transaction that it was started in had ended; wait for it in "
                "the transaction's function (asyncio.gather), or start it elsewhere"
            )
        self.verify()

    def verify(self) -> None:
        """Raise unless the transaction that began can still be recorded."""
        if self.refused is not None:
            raise self.refused
        if self.lost:
            raise TransactionEndedError(
                "a statement of this transaction failed and its error was caught, although the database may have "
                "rolled back everything before it; let the error out"
            ) from self.failure

    def refuse(self, what: str) -> DurablyError:
        """The error for an attempt to end the transaction."""
        self.refused = self.refused or TransactionEndedError(
            f"{what} would end the transaction inside its own function; leave it out: Durably commits when the "
            "function returns, and rolls back when it raises. For a part that may fail, use "
            "`async with in_transaction():`"
        )
        return self.refused

    def statement(self, sql: str) -> None:
        """Before a statement of the function's own text."""
        self.use()
        if _ENDS.match(sql):
            raise self.refuse(f"the statement {sql.strip()[:40]!r}")

    def failed(self, connection: Any, error: BaseException) -> None:
        """A statement failed; what happened first is what tells why, and whether to try again."""
        if self.failure is None:
            self.failure = error
        self.lost = self.lost or self.driver.ends(connection, error)


class TransactionClient(TransactionalDBClient):
    """Comes before the driver's class in the order of methods; ``watched`` makes one of a client that is there."""

    _lock: asyncio.Lock
    durably_guard: Guard
    #: Of a savepoint: what had failed before it.
    durably_before: tuple[BaseException | None, bool] | None = None

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        """Every statement of the ORM's asks for the connection here."""
        self.durably_guard.use()
        return _Connection(self._lock, self)

    async def execute_query(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """As ever, but no COMMIT or ROLLBACK."""
        self.durably_guard.statement(query)
        return await super().execute_query(query, *args, **kwargs)

    async def execute_query_dict(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        self.durably_guard.statement(query)
        return await super().execute_query_dict(query, *args, **kwargs)

    async def execute_script(self, query: str) -> None:
        """The same, and TransactionEndedError on SQLite, where Python's driver would commit first."""
        guard = self.durably_guard
        guard.statement(query)
        if guard.driver.scripts_commit:
            raise guard.refuse("execute_script()")
        await super().execute_script(query)

    def _in_transaction(self) -> NestedTransactionContext:
        self.durably_guard.use()
        nested: Any = super()._in_transaction()
        client: TransactionalDBClient = nested.client
        return Savepoint(watched(client, self.durably_guard))

    async def savepoint(self) -> None:
        """Begin what may fail by itself."""
        guard = self.durably_guard
        guard.use()
        self.durably_before = (guard.failure, guard.lost)
        await _own(super()).savepoint()

    async def savepoint_rollback(self) -> None:
        """What failed since the savepoint began is undone, and so forgotten."""
        guard = self.durably_guard
        if guard.over:
            guard.use()
        try:
            await _own(super()).savepoint_rollback()
        except Exception as error:
            guard.failed(self._connection, error)
            guard.lost = True  # the savepoint is gone, and whatever else
            raise
        if self.durably_before is not None:
            guard.failure, guard.lost = self.durably_before

    async def commit(self) -> None:
        """TransactionEndedError in the transaction's function; fine where it means a savepoint."""
        if self._is_the_transaction():
            raise self.durably_guard.refuse("commit()")
        await _own(super()).commit()

    async def rollback(self) -> None:
        """The same."""
        if self._is_the_transaction():
            raise self.durably_guard.refuse("rollback()")
        await _own(super()).rollback()

    def _is_the_transaction(self) -> bool:
        return self.durably_before is None or self.durably_guard.driver.savepoints_end_all

    async def durably_commit(self) -> None:
        """Durably's own commit, after the statements that tasks of the function still have under way."""
        async with self._lock:
            await _own(super()).commit()

    async def durably_rollback(self) -> None:
        """Durably's own rollback, if there is something to roll back."""
        async with self._lock:
            if self.durably_guard.driver.is_open(self):
                await _own(super()).rollback()


class _Connection(ConnectionWrapper[Any]):
    """The connection for one statement, under the client's lock."""

    client: TransactionClient

    async def __aenter__(self) -> Any:
        connection = await super().__aenter__()
        try:
            self.client.durably_guard.use()  # it may have ended while this waited
        except BaseException:
            self._lock.release()
            raise
        return connection

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await super().__aexit__(kind, error, traceback)
        if isinstance(error, Exception):
            self.client.durably_guard.failed(self.connection, error)


class Savepoint(NestedTransactionContext):
    """Tortoise's own, which leaves out the rollback for its TransactionManagementError."""

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            await super().__aexit__(kind, error, traceback)
        elif not self.client._finalized:
            await self.client.savepoint_rollback()


_classes: dict[type[BaseDBAsyncClient], type[TransactionClient]] = {}


def watched(client: TransactionalDBClient, guard: Guard) -> TransactionClient:
    """Have a client that was just made be watched by ``guard``."""
    kind = type(client)
    derived = _classes.get(kind)
    if derived is None:
        derived = type(kind.__name__, (TransactionClient, kind), {"__module__": kind.__module__})
        _classes[kind] = derived
    client.__class__ = derived
    assert isinstance(client, TransactionClient)  # noqa: S101
    client.durably_guard = guard
    return client


def _own(inherited: Any) -> Any:
    """The driver's class, whose methods are abstract as far as type checkers can see."""
    return inherited
