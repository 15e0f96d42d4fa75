"""The adapter: finds Tortoise's connection where the caller is, and runs transactions on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.connection import ConnectionHandler

from durably import ConfigurationError, TransactionEndedError
from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_tortoise import urls
from durably_tortoise.contexts import Contexts
from durably_tortoise.drivers import driver_of
from durably_tortoise.guard import Guard, Savepoint, TransactionClient, watched

# PostgreSQL's state for statements after one that failed.
_ABORTED = "25P02"


class TortoiseAdapter:
    """Runs ``async def`` transactions on a connection of Tortoise's. Implements ``durably.adapter.AsyncAdapter``.

    ``connection``: its name in Tortoise's configuration. ``url``: the address that it must have, if Durably is to know
    it before Tortoise is initialised: on PostgreSQL it is the system database's default place.

    Nothing is opened here. Call ``await Tortoise.init(...)`` before ``async with app:``, on the same event loop, and
    ``await Tortoise.close_connections()`` after it. Without that, or if the connection is another than ``url`` says,
    the first use raises ConfigurationError.
    """

    def __init__(self, connection: str = "default", *, url: str | None = None) -> None:
        if not isinstance(connection, str):
            raise ConfigurationError(
                f"Tortoise(...) takes the name of a connection, such as 'default', not {type(connection).__name__}"
            )
        self._connection = connection
        self._url = url
        self._dialect: DialectName | None = urls.dialect_of(url) if url is not None else None
        self._contexts = Contexts()
        #: The clients that were found usable, with the event loop of each.
        self._known: WeakKeyDictionary[BaseDBAsyncClient, asyncio.AbstractEventLoop] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"TortoiseAdapter({self._connection!r})"

    @property
    def dialect(self) -> DialectName:
        """The kind of database. ConfigurationError if Tortoise, which knows it, is not initialised."""
        return self._dialect or driver_of(self._root(self._handler())).dialect

    @property
    def paramstyle(self) -> ParamStyle:
        """What the driver takes; likewise."""
        return driver_of(self._root(self._handler())).paramstyle

    def url(self) -> str | None:
        """The address that the adapter was made with."""
        return self._url

    # -- transactions --------------------------------------------------------------------------------------------

    def ambient(self) -> TransactionalDBClient | None:
        """The transaction of an ``async with in_transaction():`` around the caller."""
        handler = self._contexts.handler()
        client = handler._get_storage().get(self._connection) if handler is not None else None
        if not isinstance(client, TransactionalDBClient) or client._finalized:
            return None
        if isinstance(client, TransactionClient) and client.durably_guard.over:
            return None  # handed down to a task that has outlived it
        return client

    @asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[TransactionalDBClient]:
        """Tortoise's client for a transaction, which the models use until the block is left."""
        with self._contexts.entered():
            handler = self._handler()
            client = self._usable(handler)
            driver = driver_of(client)
            async with driver.checked_out(client) as made:
                transaction = watched(made, Guard(driver))
                try:
                    async with _ended(transaction, plan):
                        token = handler.set(self._connection, transaction)
                        try:
                            yield transaction
                        finally:
                            handler.reset(token)  # type: ignore[arg-type,unused-ignore]
                finally:
                    if plan.query_only:
                        await driver.reset_query_only(client)

    async def execute(
        self, handle: TransactionalDBClient, sql: str, params: Sequence[Parameter] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one of the core's statements, as it is, on the transaction's connection."""
        try:
            async with handle._lock:  # type: ignore[attr-defined]
                return await driver_of(handle).run(handle._connection, sql, params)
        except Exception as error:
            if getattr(error, "sqlstate", None) != _ABORTED:
                raise
            if isinstance(handle, TransactionClient) and error.__cause__ is None:
                error.__cause__ = handle.durably_guard.failure  # what failed first tells whether to try again
            raise TransactionEndedError(
                "a statement of this transaction failed and its error was caught, so that PostgreSQL keeps nothing of "
                "it; let the error out, or put what may fail into `async with in_transaction():`"
            ) from error

    async def flush(self, handle: TransactionalDBClient) -> None:
        """Nothing is ever pending; but the transaction must still be the one that began, and able to commit."""
        if not isinstance(handle, TransactionClient):
            return
        guard = handle.durably_guard
        guard.verify()
        if guard.failure is not None and guard.driver.dialect == "postgresql":
            # PostgreSQL answers COMMIT after a failed statement with a silent rollback.
            await self.execute(handle, "SELECT 1")

    def savepoint(self, handle: TransactionalDBClient) -> AbstractAsyncContextManager[Any]:
        """Tortoise's own savepoint, in a transaction of the caller's."""
        nested: Any = handle._in_transaction()
        return Savepoint(nested.client)

    # -- Tortoise's connection -----------------------------------------------------------------------------------

    def _handler(self) -> ConnectionHandler:
        handler = self._contexts.handler()
        if handler is None:
            raise ConfigurationError(
                "Tortoise is not initialised here: call `await Tortoise.init(...)` before `async with app:`, in the "
                "same task or in one around it (a blocking `with app:` runs coroutines on a loop of its own)"
            )
        if self._connection not in handler.db_config:
            names = ", ".join(repr(name) for name in handler.db_config) or "none"
            raise ConfigurationError(
                f"Tortoise has no connection {self._connection!r} (it has {names}); give Tortoise(...) one of its names"
            )
        return handler

    def _root(self, handler: ConnectionHandler) -> BaseDBAsyncClient:
        """The client that transactions are begun on, be one open or not."""
        client = handler._get_storage().get(self._connection) or handler.get(self._connection)
        while isinstance(client, TransactionalDBClient):
            client = client._parent
        return client

    def _usable(self, handler: ConnectionHandler) -> BaseDBAsyncClient:
        """The client, if it is of this event loop and goes where it should."""
        client = self._root(handler)
        here = asyncio.get_running_loop()
        known = self._known.get(client)
        if known is here:
            return client
        bound = known or _loop_of(client)
        if bound is not None and bound is not here:
            if not bound.is_closed():
                raise ConfigurationError(
                    f"Tortoise's connection {self._connection!r} belongs to another event loop than the one that this "
                    "transaction runs on; call `await Tortoise.init(...)` and `async with app:` on the same loop "
                    "(a blocking `with app:` runs coroutines on a loop of its own)"
                )
            client = handler.get(self._connection)  # Tortoise itself replaces what belongs to a closed loop
        if self._url is not None:
            urls.check(self._url, client, driver_of(client).dialect)
        self._known[client] = here
        return client


@asynccontextmanager
async def _ended(transaction: TransactionClient, plan: BeginPlan) -> AsyncIterator[None]:
    """Begin; then commit, or roll back on any exception, without hiding it."""
    guard = transaction.durably_guard
    try:
        await guard.driver.begin(transaction, plan)
    except BaseException:
        guard.over = True
        with contextlib.suppress(Exception):
            await guard.driver.abandon(transaction)
        raise
    try:
        yield
        guard.over = True
        await transaction.durably_commit()
    except BaseException:
        guard.over = True
        await _undo(transaction)
        raise


async def _undo(transaction: TransactionClient) -> None:
    try:
        await transaction.durably_rollback()
    except BaseException as error:
        # Its state is unknown, so nobody else must get it.
        with contextlib.suppress(Exception):
            await transaction.durably_guard.driver.discard(transaction)
        if not isinstance(error, Exception):
            raise


def _loop_of(client: BaseDBAsyncClient) -> asyncio.AbstractEventLoop | None:
    """The loop that the client has connected on: itself knows since 1.1, and most pools do."""
    loop: Any = getattr(client, "_bound_loop", None) or getattr(getattr(client, "_pool", None), "_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def from_url(url: str) -> Sequence[TortoiseAdapter]:
    """What ``app_db_client: tortoise`` stands for: Tortoise's connection "default", which must have that address.

    The models are registered with Tortoise, and so the connection is Tortoise's: call ``await Tortoise.init(...)``
    yourself, with the same address.
    """
    return [TortoiseAdapter(url=url)]
