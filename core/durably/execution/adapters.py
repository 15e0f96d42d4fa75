"""The adapters of one engine: found by name and by kind of function, and prepared once each.

Preparing finds out whether a transaction and its checkpoint can be one commit (co-located): this executor's fresh id,
which the ledger has just written, must be readable through the application's own connection, and the checkpoints'
table writable. Otherwise the application database gets the table of completion rows.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from durably import context
from durably.adapter import Closes, Flushes, HasOneHalf, Joins, Parameter, Releases
from durably.declared import Declaration
from durably.errors import ConfigurationError, DatabaseUnavailableError, DurablyError, NoAdapterError
from durably.execution.shape import check_methods, check_rows, dialect_of, says_no
from durably.sql import completion
from durably.sql.begin import begin_plan
from durably.sql.dialect import Dialect, render
from durably.sql.failures import is_transient
from durably.sql.gate import Gate, file_gate
from durably.sql.server import Server, look, read

log = logging.getLogger("durably.adapters")

AnyAdapter = "Adapter[Any] | AsyncAdapter[Any]"


class Half:
    """The synchronous or asynchronous half of an adapter, in the form that the exactly-once protocol awaits."""

    def __init__(self, name: str, adapter: Any, warned: set[str]) -> None:
        """``warned``: the adapters of this engine that a warning was given about; both halves share it."""
        check_methods(name, adapter)
        self.name = name
        self.adapter = adapter
        self._warned = warned
        self._flushes = isinstance(adapter, Flushes)
        #: Whether starts join a transaction that the caller has open.
        self.joins = isinstance(adapter, Joins)
        self.asynchronous = inspect.iscoroutinefunction(adapter.execute)
        self.gate: Gate | None = None
        #: What it was asked once; nothing where there is nothing to ask.
        self.server = Server()
        self.colocated = False
        #: Whether a transaction of the caller's goes to the system database; None until one was met.
        self.is_system_database: bool | None = None
        self._prepared = False

    @functools.cached_property
    def dialect(self) -> Dialect:
        """Asked for at the first use: an ORM may know its database only once the application has set it up."""
        return dialect_of(self.name, self.adapter)

    def begin(self, isolation_level: str | None, read_only: bool) -> Any:
        """An asynchronous context manager around the adapter's transaction, whatever its half."""
        scope = self.adapter.begin(begin_plan(self.dialect.name, isolation_level, read_only))
        return scope if self.asynchronous else _Awaited(scope)

    def turn(self, read_only: bool) -> Turn:
        """What goes around a transaction: on SQLite, a writer's turn."""
        return Turn(None if read_only else self.gate)

    async def execute(self, handle: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one of the core's statements on the transaction's connection."""
        rows = self.adapter.execute(handle, render(sql, self.dialect, self.adapter.paramstyle), params)
        return (await rows if self.asynchronous else rows) or []

    async def flush(self, handle: Any) -> None:
        """Have a unit of work write what is pending."""
        if self._flushes:
            flushed = self.adapter.flush(handle)
            if self.asynchronous:
                await flushed

    def savepoint(self, handle: Any) -> Any:
        """A savepoint in the caller's own transaction, in the form that is awaited; nothing where the ORM has none."""
        if not self.joins:
            return contextlib.nullcontext()
        scope = self.adapter.savepoint(handle)
        return scope if self.asynchronous else _Awaited(scope)

    def release(self, *, ends: bool) -> None:
        """On a thread of Durably's own: have the ORM hand back what it holds for this thread."""
        if isinstance(self.adapter, Releases):
            self.adapter.release(ends=ends)

    async def close(self) -> None:
        """Close what the adapter itself opened."""
        if isinstance(self.adapter, Closes):
            closed = self.adapter.close()
            if self.asynchronous:
                await closed

    # -- preparing -----------------------------------------------------------------------------------------------

    async def prepare(self, executor_id: str) -> None:
        """Find out about co-location, and make the table of completion rows where it is needed; once.

        DatabaseUnavailableError if that failed transiently, so that it may be called again.
        """
        if self._prepared:
            return
        try:
            await self._prepare(executor_id)
        except Exception as error:
            if not is_transient(error, connecting=True):
                raise
            raise DatabaseUnavailableError(
                f"the database of adapter {self.name!r} could not be reached: {error}", adapter=self.name
            ) from error

    async def _prepare(self, executor_id: str) -> None:
        if self.dialect.name == "sqlite":
            self.gate = await self._file_gate()
        self.colocated = await self._sees(executor_id)
        if not self.colocated:
            await self._ensure_completion_table()
        await self._look_at_server()
        self._prepared = True
        log.debug("adapter %r: %s", self.name, "co-located" if self.colocated else "apart")

    async def _look_at_server(self) -> None:
        """Find out its limits; and warn, once for an adapter, if its default isolation loses updates."""
        query = look(self.dialect.name)
        if query is None:
            return
        try:
            async with self.begin(None, True) as handle:
                self.server = read(await self.execute(handle, *query))
        except Exception as error:
            if is_transient(error, connecting=True):
                raise
            log.debug("adapter %r: its server's settings could not be found out: %s", self.name, error)
            return
        advice = self.server.advice
        if advice is not None and self.name not in self._warned:
            self._warned.add(self.name)
            log.warning("adapter %r: %s", self.name, advice)

    async def _file_gate(self) -> Gate:
        async with self.begin(None, True) as handle:
            files = await self.execute(handle, "PRAGMA database_list")
        path = next((row[2] for row in files if row[1] == "main"), "")
        return file_gate(path) if path else Gate()

    async def _sees(self, executor_id: str) -> bool:
        try:
            async with self.begin(None, True) as handle:
                rows = await self.execute(handle, "SELECT 1 FROM {t}executors WHERE executor_id = ?", (executor_id,))
                check_rows(self.name, rows)
                if not rows or not self.dialect.may_insert:
                    return bool(rows)
                may = await self.execute(handle, self.dialect.may_insert)
                if not may[0][0]:
                    log.warning(
                        "adapter %r reaches the system database but may not insert into durably.operation_outputs; "
                        "its transactions are recorded apart, in durably.transaction_completion",
                        self.name,
                    )
                return bool(may[0][0])
        except Exception as error:
            # No such table, or no right to read it: apart. A lost connection says nothing, and guessing would have this
            # executor record where the others do not look.
            if isinstance(error, DurablyError) or not says_no(self.name, error):
                raise
            return False

    async def _ensure_completion_table(self) -> None:
        if await self._has_completion_table():
            return
        if self.gate is not None:
            await self.gate.acquire()
        try:
            async with self.begin(None, False) as handle:
                for sql, params in completion.create_table(self.dialect.name):
                    await self.execute(handle, sql, params)
        except Exception as error:
            # Another process may have made it meanwhile.
            with contextlib.suppress(Exception):
                if await self._has_completion_table():
                    return
            raise ConfigurationError(
                f"the application database of adapter {self.name!r} needs the table "
                f"{self.dialect.table}transaction_completion, and it could not be created: {error}"
            ) from error
        finally:
            if self.gate is not None:
                self.gate.release()

    async def _has_completion_table(self) -> bool:
        async with self.begin(None, True) as handle:
            rows = await self.execute(handle, *completion.has_table(self.dialect.name))
            check_rows(self.name, rows)
            return bool(rows)


class Turn:
    """This process's turn among the writers of an SQLite file: for the block, or until the adapter tells of the commit.

    What the ORM calls after the commit is the user's code, and may want a turn of its own.
    """

    __slots__ = ("_gate", "_put", "committed")

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        #: Whether the adapter has told of the commit. Most end with it, and don't.
        self.committed = False

    async def __aenter__(self) -> Turn:
        if self._gate is not None:
            await self._gate.acquire()
        self._put = context.commit_awaited(self._told)
        self._put.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._put.__exit__(*error)
        self._release()

    def _told(self) -> None:
        self.committed = True
        self._release()

    def _release(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release()


class _Awaited:
    """A synchronous context manager in asynchronous clothes."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    async def __aenter__(self) -> Any:
        return self._scope.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        return self._scope.__exit__(kind, error, traceback)


class Adapters:
    """Adapters by name, each with one half or both."""

    def __init__(self, configured: Mapping[str, Any]) -> None:
        self._halves: dict[tuple[str, bool], Half] = {}
        warned: set[str] = set()
        for name, adapters in configured.items():
            for adapter in adapters if isinstance(adapters, Sequence) else [adapters]:
                half = Half(name, adapter, warned)
                if self._halves.setdefault((name, half.asynchronous), half) is not half:
                    kind = "asynchronous" if half.asynchronous else "synchronous"
                    raise ConfigurationError(f"adapter {name!r} has two {kind} halves; configure one of each kind")

    def halves(self) -> list[Half]:
        """All of them."""
        return list(self._halves.values())

    def one_of_each(self, *, asynchronous: bool) -> list[Half]:
        """One half of each adapter that such a workflow's transactions can go through: of two, that of its own kind."""
        kinds = (True, False) if asynchronous else (False,)
        found: dict[str, Half] = {}
        for kind in kinds:
            for half in self._halves.values():
                if half.asynchronous is kind:
                    found.setdefault(half.name, half)
        return list(found.values())

    def release(self, *, ends: bool) -> None:
        """On a thread of Durably's own: a piece of work has ended. ``ends``: so does the thread."""
        for half in self._halves.values():
            half.release(ends=ends)

    def for_transaction(self, declaration: Declaration) -> Half:
        """The half that runs this transaction; NoAdapterError if it is not configured."""
        name = declaration.transaction.adapter
        half = self._halves.get((name, declaration.is_async))
        if half is not None:
            return half
        other = self._halves.get((name, not declaration.is_async))
        if other is not None:
            has, needs = _KINDS[other.asynchronous], _KINDS[declaration.is_async]
            advice = f"configure its {needs} half too, or change the function"
            if isinstance(other.adapter, HasOneHalf):
                advice = other.adapter.no_other_half
            raise NoAdapterError(
                f"{declaration} is {'an async def' if declaration.is_async else 'a plain def'}, but adapter {name!r} "
                f"has only its {has} half; {advice}",
                adapter=name,
            )
        names = ", ".join(sorted({repr(one) for one, _ in self._halves})) or "none"
        raise NoAdapterError(
            f"{declaration} goes through adapter {name!r}, which is not configured (configured: {names}); give "
            f"Durably(...) an application_database_url with app_db_client, or adapters={{{name!r}: ...}}",
            adapter=name,
        )

    def check(self, declarations: Sequence[Declaration]) -> None:
        """At launch: a transaction whose adapter is here must find its own half of it."""
        configured = {name for name, _ in self._halves}
        for declaration in declarations:
            if declaration.kind == "transaction" and declaration.transaction.adapter in configured:
                self.for_transaction(declaration)


_KINDS = {False: "synchronous", True: "asynchronous"}
