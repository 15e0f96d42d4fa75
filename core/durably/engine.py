"""Durably, the engine: settings that can be launched, and then execute workflows until they are shut down.

Constructing opens nothing; launching opens the system database, takes a lease, and begins to look for work.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from durably import context
from durably.client import BlockingVerbs, Connected
from durably.clock import Clock, SystemClock
from durably.config import Executes, resolve
from durably.declared import Declaration, declaration_of
from durably.drive import Offload, drive, refuse_on_loop
from durably.errors import (
    ConfigurationError,
    NotExecutingError,
    NotRegisteredError,
    WaitInsideTransactionError,
    WorkflowNotFoundError,
)
from durably.managing import results
from durably.model import WorkflowStatus
from durably.plugins import adapter_url, adapters_from_url
from durably.serialization import Serialization, Serializer, TypeTable

# What executes is loaded by the first launch, so that importing Durably stays cheap.
if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

    from durably.execution.adapters import Adapters, Half
    from durably.launched import Launched

log = logging.getLogger("durably")

#: How long a shutdown waits for workflows that execute here, unless it is told otherwise (seconds).
DRAIN_SECONDS = 30.0


class Durably(BlockingVerbs):
    """One application's durable execution.

    ``name``: the application; rows carry it, and executors of one application take over from each other.
    ``system_database_url``: where workflows and checkpoints live; by default the application database itself if that is
    PostgreSQL, else the SQLite file ``{name}.durably.db``.
    ``application_database_url`` with ``app_db_client`` (sqlalchemy, …), or ``adapters`` by name: what transactions go
    through.
    ``executes``: "all" runs whatever the application has; "own" only what is started here; "none" nothing, starts are
    left for other executors.
    ``executor_id``: a label for humans; the id itself is new at every launch.
    ``loop``: where background coroutines run, instead of the thread ``durably-loop``.
    ``lease_seconds``: how soon others take over when this process stalls or its machine is lost.
    ``transaction_pooler``: the system database is behind a pooler in transaction mode (pgbouncer).
    ``notifications``: hear of news through LISTEN on PostgreSQL, and the WAL file on SQLite; False polls once a second.
    """

    def __init__(
        self,
        name: str,
        *,
        system_database_url: str | None = None,
        application_database_url: str | None = None,
        app_db_client: str | None = None,
        adapters: Mapping[str, Any] | None = None,
        executes: Executes | None = None,
        application_version: str | None = None,
        executor_id: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        run_migrations: bool = True,
        transaction_pooler: bool = False,
        notifications: bool = True,
        lease_seconds: float = 10.0,
        transaction_retry_seconds: float = 300.0,
        serializer: Serializer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = resolve(
            name,
            adapter_url=adapter_url(adapters),
            system_database_url=system_database_url,
            application_database_url=application_database_url,
            app_db_client=app_db_client,
            executes=executes,
            application_version=application_version,
            executor_label=executor_id,
            run_migrations=run_migrations,
            transaction_pooler=transaction_pooler,
            notifications=notifications,
            lease_seconds=lease_seconds,
            transaction_retry_seconds=transaction_retry_seconds,
        )
        if adapters is not None and application_database_url is not None:
            raise ConfigurationError("give either adapters or application_database_url with app_db_client, not both")
        self.name = name
        self._configured = adapters
        self._adapters: Adapters | None = None
        self._loop = loop
        self._clock: Clock = clock or SystemClock()
        self._serialization = Serialization(serializer)
        self._launched: Launched | None = None
        #: What is being shut down, for the workflows that still execute there.
        self._draining: Launched | None = None
        self._opening = threading.Lock()
        context.engine_constructed(self)

    def __repr__(self) -> str:
        return f"Durably({self.name!r}, {'launched' if self._launched else 'not launched'})"

    # -- launching and shutting down -----------------------------------------------------------------------------

    def launch(self) -> None:
        """Open the system database and begin to execute. In asynchronous code use ``async with app``."""
        refuse_on_loop("Durably.launch", "async with app:")
        self._open(self._loop)
        try:
            launched = self._require()
            if launched.executor is not None:
                for half in launched.services.adapters.halves():
                    if not half.asynchronous:
                        drive(half.prepare(launched.services.executor_id))
            launched.begin()
        except BaseException:
            self.shutdown(timeout_seconds=0)
            raise

    def shutdown(self, timeout_seconds: float = DRAIN_SECONDS) -> None:
        """Stop claiming, wait for what executes here, hand back what is left, and close. Idempotent."""
        refuse_on_loop("Durably.shutdown", "async with app:")
        self._close(timeout_seconds)

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()

    async def __aenter__(self) -> Self:
        import asyncio

        loop = self._loop or asyncio.get_running_loop()
        await Offload(lambda: self._open(loop), _in_thread)
        try:
            launched = self._require()
            if launched.executor is not None:
                for half in launched.services.adapters.halves():
                    if half.asynchronous:
                        await half.prepare(launched.services.executor_id)
                    else:
                        prepare = functools.partial(_prepare, half, launched.services.executor_id)
                        await Offload(prepare, _in_thread)
            launched.begin()
        except BaseException:
            await Offload(lambda: self._close(0), _in_thread)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await Offload(lambda: self._close(DRAIN_SECONDS), _in_thread)

    def _open(self, loop: asyncio.AbstractEventLoop | None) -> None:
        from durably.launched import Launched

        with self._opening:
            if self._launched is not None:
                raise ConfigurationError(f"the engine {self.name!r} is launched already; shut it down first")
            self._launched = Launched(
                self, self._settings, self._clock, self._serialization, self._transaction_adapters(), loop
            )
            context.engine_launched(self)

    def _close(self, timeout_seconds: float) -> None:
        with self._opening:
            launched, self._launched = self._launched, None
            if launched is None:
                return
            self._draining = launched
            context.engine_shut_down(self)
        try:
            launched.close(timeout_seconds)
        finally:
            self._draining = self._adapters = None

    def forked(self) -> object:
        """In a forked child: forget what the parent opened (see ``durably.context``)."""
        inherited = self._launched, self._draining, self._adapters
        self._launched = self._draining = self._adapters = None
        self._opening = threading.Lock()
        return inherited

    @contextlib.contextmanager
    def current(self) -> Iterator[Self]:
        """Make this the engine that ``durably.…`` verbs use in this context, where several are launched."""
        with context.engine_current(self):
            yield self

    # -- the coroutines behind the verbs -------------------------------------------------------------------------

    async def start(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str, TypeTable]:
        """Start a workflow in the background; its id, and the classes its value may have."""
        declaration = _workflow(function)
        from durably.execution.waits import workflow_code

        receiver = getattr(function, "__self__", None)
        args = args if receiver is None else (receiver, *args)
        launched = self._require()
        joined = launched.open_transaction()
        if joined is None and (run := workflow_code()) is not None:
            return await launched.start_child(run, declaration, args, kwargs), declaration.types
        workflow_id = launched.new_workflow_id(declaration)
        if joined is not None:
            await launched.runner.join(joined, declaration, args, kwargs, workflow_id)
        elif launched.executor is None:
            await launched.runner.leave(declaration, args, kwargs, workflow_id)
        else:
            ready = await launched.runner.start(declaration, args, kwargs, workflow_id)
            if ready is not None:
                launched.dispatch(ready)
        return workflow_id, declaration.types

    async def call_workflow(self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a workflow in the caller's thread or task."""
        launched = self._require()
        if launched.executor is None:
            raise NotExecutingError(
                f"the engine {self.name!r} has executes='none' and cannot run {declaration} here; "
                "use durably.start_workflow, which leaves it for an executor"
            )
        launched.refuse_call_inside_transaction(declaration)
        return await launched.runner.call(declaration, args, kwargs, launched.new_workflow_id(declaration))

    async def call_transaction(self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a transaction outside any workflow; works before launch, too."""
        from durably.execution.outside import run_outside

        half = self._transaction_adapters().for_transaction(declaration)
        return await run_outside(half, declaration, args, kwargs, self._clock, self._settings.transaction_retry_seconds)

    async def status(self, workflow_id: str) -> WorkflowStatus:
        """The row of a workflow; WorkflowNotFoundError."""
        return await self.aio.get_workflow_status(workflow_id)

    async def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow."""
        await self.aio.cancel_workflow(workflow_id)

    async def resume(self, workflow_id: str) -> None:
        """Resume a workflow. WorkflowNotFoundError."""
        await self.aio.resume_workflow(workflow_id)

    async def first(self, workflow_ids: Sequence[str], timeout_seconds: float | None) -> str:
        """The id of the workflow that has its outcome first."""
        return await results.first(self._connection(), workflow_ids, timeout_seconds)

    async def all_of(
        self, workflows: Sequence[tuple[str, TypeTable | None]], timeout_seconds: float | None
    ) -> list[Any]:
        """The values of all these workflows."""
        return await results.all_of(self._connection(), workflows, timeout_seconds)

    async def result(
        self, workflow_id: str, *, timeout_seconds: float | None = None, expect: TypeTable | None = None
    ) -> Any:
        """Wait for a workflow's outcome; WaitTimeoutError, WorkflowNotFoundError, WorkflowCancelledError.

        WaitInsideTransactionError where the transaction that is open here would have to commit first.
        """
        launched = self._require()
        try:
            return await launched.connected.result(workflow_id, timeout_seconds=timeout_seconds, expect=expect)
        except WorkflowNotFoundError as error:
            if launched.open_transaction() is None:
                raise
            raise WaitInsideTransactionError(
                f"workflow {workflow_id!r} is not there, or not yet: what was started in the transaction that is open "
                "here exists once that commits; wait for it afterwards",
                workflow_id=workflow_id,
            ) from error

    def _connection(self) -> Connected:
        return self._require().connected

    def _require(self) -> Launched:
        launched = self._launched
        if launched is None and context.frame() is not None:
            launched = self._draining
        if launched is None:
            raise context.not_launched(self.name)
        return launched

    def _transaction_adapters(self) -> Adapters:
        from durably.execution.adapters import Adapters

        if self._adapters is None:
            configured = self._configured
            if configured is None:
                configured = adapters_from_url(self._settings)
            self._adapters = Adapters(configured)
        return self._adapters


def _workflow(function: Callable[..., Any]) -> Declaration:
    declaration = declaration_of(function)
    if declaration is None or declaration.kind != "workflow":
        name = getattr(function, "__qualname__", repr(function))
        raise NotRegisteredError(
            f"{name} is not a workflow; declare it with @durably.workflow"
            + (f" (it is a {declaration.kind})" if declaration is not None else "")
        )
    return declaration


def _prepare(half: Half, executor_id: str) -> None:
    """Prepare a synchronous half on a thread that ends with it."""
    try:
        drive(half.prepare(executor_id))
    finally:
        half.release(ends=True)


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="durably-launch", daemon=True).start()
