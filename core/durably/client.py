"""What needs no local code: an open system database, and clients that have every verb on it."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from durably.awaited_verbs import AwaitedVerbs, types_of
from durably.clock import Clock, SystemClock
from durably.config import Settings, libpq_url, redacted, resolve, scheme, sqlite_path
from durably.drive import Offload, drive, refuse_on_loop
from durably.errors import WorkflowNotFoundError
from durably.handles import WorkflowHandle
from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.ledger import Ledger
from durably.ledger.wakeups import Outcomes
from durably.ledger.watching import Watcher
from durably.managing import results
from durably.messaging import streams
from durably.model import WorkflowStatus
from durably.names import checked_id
from durably.serialization import Serialization, TypeTable

if TYPE_CHECKING:
    from typing import Concatenate

    from typing_extensions import ParamSpec, Self

    P = ParamSpec("P")

R = TypeVar("R")
T = TypeVar("T")


def open_ledger(settings: Settings, clock: Clock) -> Ledger:
    """The system database of these settings, connected and with its schema in place."""
    ledger = Ledger(make_backend(settings), clock, where=redacted(settings.system_database_url))
    ledger.open(run_migrations=settings.run_migrations)
    return ledger


def make_backend(settings: Settings) -> Backend:
    """The backend that the system database's address names."""
    url = settings.system_database_url
    if scheme(url) == "postgresql":
        from durably.ledger.postgres import PostgresBackend

        return PostgresBackend(libpq_url(url), pooler=settings.transaction_pooler)
    from durably.ledger.sqlite import SqliteBackend

    return SqliteBackend(sqlite_path(url))


class Connected:
    """An open ledger, and who waits for what is in it."""

    def __init__(self, settings: Settings, serialization: Serialization, clock: Clock) -> None:
        #: Whose workflows are listed; None: every application's.
        self.application_name = settings.name or None
        self.ledger = open_ledger(settings, clock)
        self.serialization = serialization
        self.clock = clock
        self.outcomes = Outcomes()
        #: Whether a workflow executes in this process, which then tells of its outcome.
        self.executes: Callable[[str], bool] = lambda _: False
        self._watcher = Watcher(self.ledger, self.outcomes, clock, listens=settings.notifications)

    async def status(self, workflow_id: str) -> WorkflowStatus:
        """The row of a workflow; WorkflowNotFoundError."""
        checked_id(workflow_id, "get_workflow_status")
        found = await self.ledger.read(lambda session: queries.statuses(session, [workflow_id]))
        if workflow_id not in found:
            raise WorkflowNotFoundError(f"there is no workflow with the id {workflow_id!r}", workflow_id=workflow_id)
        return found[workflow_id]

    async def result(
        self, workflow_id: str, *, timeout_seconds: float | None = None, expect: TypeTable | None = None
    ) -> Any:
        """Wait for a workflow's outcome; WaitTimeoutError, WorkflowNotFoundError, WorkflowCancelledError."""
        return await results.result(self, workflow_id, timeout_seconds, expect)

    def close(self) -> None:
        """Stop waiting, write what is queued, and close."""
        self.ledger.stop_waiting()  # or else the watcher would wait for a database that is away
        self.ledger.news.close()
        self.outcomes.close()
        self._watcher.close()
        self.ledger.close()


def _blocking(
    method: Callable[Concatenate[AwaitedVerbs, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    """The blocking form of a verb, as a method of what has ``aio``."""
    name = method.__name__

    def run(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        refuse_on_loop(name)
        return drive(method(self.aio, *args, **kwargs))

    return functools.update_wrapper(run, method)


class BlockingVerbs:
    """The verbs of ``AwaitedVerbs``, blocking; ``aio`` has them awaited."""

    def _connection(self) -> Connected:
        """The open system database; NotLaunchedError."""
        raise NotImplementedError

    @property
    def aio(self) -> AwaitedVerbs:
        """The same verbs, awaited."""
        # Made anew, since one that is kept would keep its engine alive in a circle.
        return AwaitedVerbs(self._connection)

    send = _blocking(AwaitedVerbs.send)
    send_bulk = _blocking(AwaitedVerbs.send_bulk)
    get_event = _blocking(AwaitedVerbs.get_event)
    get_all_events = _blocking(AwaitedVerbs.get_all_events)
    cancel_workflow = _blocking(AwaitedVerbs.cancel_workflow)
    cancel_workflows = _blocking(AwaitedVerbs.cancel_workflows)
    resume_workflow = _blocking(AwaitedVerbs.resume_workflow)
    resume_workflows = _blocking(AwaitedVerbs.resume_workflows)
    fork_workflow = _blocking(AwaitedVerbs.fork_workflow)
    delete_workflow = _blocking(AwaitedVerbs.delete_workflow)
    delete_workflows = _blocking(AwaitedVerbs.delete_workflows)
    update_workflow_attributes = _blocking(AwaitedVerbs.update_workflow_attributes)
    get_workflow_status = _blocking(AwaitedVerbs.get_workflow_status)
    list_workflows = _blocking(AwaitedVerbs.list_workflows)
    count_workflows = _blocking(AwaitedVerbs.count_workflows)
    list_workflow_steps = _blocking(AwaitedVerbs.list_workflow_steps)
    list_stranded_workflows = _blocking(AwaitedVerbs.list_stranded_workflows)

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        timeout_seconds: float | None = None,
        expect: Any = None,
    ) -> Iterator[Any]:
        """The values of a stream from ``offset`` on, as they come; ends when it is closed, or its workflow ends.

        WaitTimeoutError when no value comes for ``timeout_seconds``, WorkflowNotFoundError.
        """
        refuse_on_loop("read_stream")
        return streams.values(self.aio._reader(workflow_id, key, offset, timeout_seconds, expect))


class Client(BlockingVerbs):
    """A system database, without workflows of its own: look at them, talk with them, manage them, from any process.

        with Client("postgresql://db/shop", name="shop") as client:
            client.send("order-1", "paid", topic="payment")
            print(client.get_result("order-1", timeout_seconds=10))

    ``name`` is the application whose workflows are listed and counted; without it, those of every application. Without
    an address, the one in DURABLY_SYSTEM_DATABASE_URL, or where ``Durably(name)`` has its system database by default.
    Nothing is executed, and no lease is held. It connects at its first verb, and may be used by several threads.
    ``client.aio`` has the verbs awaited; ``async with Client(…)`` connects without blocking the event loop.
    """

    def __init__(
        self, system_database_url: str | None = None, *, name: str | None = None, notifications: bool = True
    ) -> None:
        self._settings = resolve(
            name,
            adapter_url=None,
            system_database_url=system_database_url,
            executes="none",
            run_migrations=False,
            notifications=notifications,
        )
        self._mutex = threading.Lock()
        self._connected: Connected | None = None

    def _connection(self) -> Connected:
        connected = self._connected
        if connected is not None:
            return connected
        with self._mutex:
            if self._connected is None:
                self._connected = Connected(self._settings, Serialization(None), SystemClock())
            return self._connected

    @overload
    def get_result(self, workflow_id: str, *, timeout_seconds: float | None = None) -> Any: ...
    @overload
    def get_result(self, workflow_id: str, *, timeout_seconds: float | None = None, expect: type[T]) -> T: ...
    def get_result(self, workflow_id: str, *, timeout_seconds: float | None = None, expect: Any = None) -> Any:
        """Wait for a workflow's outcome: what it returned, or the error it ended with, raised.

        WaitTimeoutError after ``timeout_seconds``; the workflow runs on. WorkflowNotFoundError, WorkflowCancelledError.
        """
        refuse_on_loop("get_result")
        return drive(self.aio.get_result(workflow_id, timeout_seconds=timeout_seconds, expect=expect))

    @overload
    def retrieve_workflow(self, workflow_id: str) -> WorkflowHandle[Any]: ...
    @overload
    def retrieve_workflow(self, workflow_id: str, *, expect: type[T]) -> WorkflowHandle[T]: ...
    def retrieve_workflow(self, workflow_id: str, *, expect: Any = None) -> WorkflowHandle[Any]:
        """A handle to a workflow that exists, in whatever process it runs. WorkflowNotFoundError."""
        refuse_on_loop("retrieve_workflow")
        drive(self.aio.get_workflow_status(workflow_id))
        return WorkflowHandle(workflow_id, self.aio.asked, types_of(expect))

    def wait_first(
        self, handles: Sequence[WorkflowHandle[R]], *, timeout_seconds: float | None = None
    ) -> WorkflowHandle[R]:
        """The handle of the workflow that has its outcome first. WaitTimeoutError."""
        refuse_on_loop("wait_first")
        first = drive(results.first(self._connection(), [one.workflow_id for one in handles], timeout_seconds))
        return next(one for one in handles if one.workflow_id == first)

    def wait_all(self, handles: Sequence[WorkflowHandle[R]], *, timeout_seconds: float | None = None) -> list[R]:
        """Wait for all; what they returned, in order, or the first one's error, in order, raised. WaitTimeoutError."""
        refuse_on_loop("wait_all")
        return drive(results.all_of(self._connection(), [one.awaited for one in handles], timeout_seconds))

    def close(self) -> None:
        """Disconnect; the next verb connects again. Who waits in other threads gets NotLaunchedError."""
        with self._mutex:
            connected, self._connected = self._connected, None
        if connected is not None:
            connected.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await Offload(self._connection, _in_thread)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await Offload(self.close, _in_thread)


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="durably-client", daemon=True).start()


def without_self(function: Callable[..., Any]) -> inspect.Signature:
    """A method's signature as a function's."""
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])
