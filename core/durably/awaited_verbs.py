"""Every verb that needs no local code, as a coroutine: on an engine, a client, or the current engine.

The blocking forms are made from these (``durably.client``, ``durably.verbs``), so that signature and docstring are
written once. ``expect`` names the type that a value is decoded to (a dataclass, a pydantic model, ``list[Order]``);
without it, what JSON and the tags tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar, overload
from uuid import UUID, uuid4

from durably.ambient import checked_attributes
from durably.execution import waits
from durably.execution.patches import deprecated, patched
from durably.handles import Asked, AsyncWorkflowHandle
from durably.managing import control, listing, results
from durably.messaging import events, messages, streams
from durably.messaging.messages import Message
from durably.model import StepInfo, WorkflowQuery, WorkflowStatus
from durably.serialization import TypeTable

if TYPE_CHECKING:
    from durably.client import Connected

R = TypeVar("R")
T = TypeVar("T")

_EVERYTHING = WorkflowQuery()


class AwaitedVerbs:
    """The verbs on one open system database. ``connection`` gives it, or raises NotLaunchedError."""

    def __init__(self, connection: Callable[[], Connected]) -> None:
        self._connection = connection

    # -- messages ------------------------------------------------------------------------------------------------

    async def send(
        self, destination_id: str, message: Any, topic: str | None = None, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to a workflow. WorkflowNotFoundError if there is no such workflow.

        In a workflow it is sent exactly once; in a step, once however often the step is retried. Elsewhere an
        ``idempotency_key`` makes it so: the destination gets one message with this key, ever.
        """
        await messages.send(self._connection(), Message(destination_id, message, topic, idempotency_key))

    async def send_bulk(self, messages_: Sequence[Message], /) -> None:
        """Send several messages, all or none: ``send_bulk([Message("order-1", 1), Message("order-2", 2)])``."""
        await messages.send_bulk(self._connection(), messages_)

    @overload
    async def recv(self, topic: str | None = None, *, timeout_seconds: float | None = 60.0) -> Any: ...
    @overload
    async def recv(
        self, topic: str | None = None, *, timeout_seconds: float | None = 60.0, expect: type[T]
    ) -> T | None: ...
    async def recv(self, topic: str | None = None, *, timeout_seconds: float | None = 60.0, expect: Any = None) -> Any:
        """The oldest message of the topic that this workflow has not received; None if none comes in time.

        For the code of workflows. Each message is received once, in the order of sending, also after crashes.
        """
        return await messages.recv(self._connection(), topic, timeout_seconds, expect)

    # -- events --------------------------------------------------------------------------------------------------

    async def set_event(self, key: str, value: Any) -> None:
        """Set one of this workflow's events, for whoever asks. From the workflow's code, or from its steps."""
        await events.set_event(self._connection(), key, value)

    @overload
    async def get_event(self, workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0) -> Any: ...
    @overload
    async def get_event(
        self, workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0, expect: type[T]
    ) -> T | None: ...
    async def get_event(
        self, workflow_id: str, key: str, *, timeout_seconds: float | None = 60.0, expect: Any = None
    ) -> Any:
        """The value of a workflow's event, once it is set; None if that does not happen in time."""
        return await events.get_event(self._connection(), workflow_id, key, timeout_seconds, expect)

    async def get_all_events(self, workflow_id: str) -> dict[str, Any]:
        """The events of a workflow by key, as they are now."""
        return await events.get_all_events(self._connection(), workflow_id)

    # -- streams -------------------------------------------------------------------------------------------------

    async def write_stream(self, key: str, value: Any) -> None:
        """Append a value to one of this workflow's streams. From the workflow's code, or from its steps."""
        await streams.write_stream(self._connection(), key, value)

    async def close_stream(self, key: str) -> None:
        """End one of this workflow's streams; who reads it stops there."""
        await streams.close_stream(self._connection(), key)

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        timeout_seconds: float | None = None,
        expect: Any = None,
    ) -> AsyncIterator[Any]:
        """The values of a stream from ``offset`` on, as they come; ends when it is closed, or its workflow ends.

        WaitTimeoutError when no value comes for ``timeout_seconds``, WorkflowNotFoundError.
        """
        return streams.values_async(self._reader(workflow_id, key, offset, timeout_seconds, expect))

    def _reader(
        self, workflow_id: str, key: str, offset: int, timeout_seconds: float | None, expect: Any
    ) -> streams.Reader:
        return streams.Reader(self._connection(), workflow_id, key, offset, timeout_seconds, expect)

    # -- control -------------------------------------------------------------------------------------------------

    async def cancel_workflow(self, workflow_id: str, *, children: bool = False) -> None:
        """Cancel a workflow that has no outcome, with all its descendants if ``children``.

        At most the step that runs right now ends; who sleeps or waits is woken. Nothing happens to one that has ended.
        """
        await control.cancel(self._connection(), [workflow_id], children)

    async def cancel_workflows(self, workflow_ids: Sequence[str], *, children: bool = False) -> None:
        """Cancel several workflows in one transaction."""
        await control.cancel(self._connection(), workflow_ids, children)

    async def resume_workflow(self, workflow_id: str) -> None:
        """Let a workflow that was cancelled or set aside go on where it stopped, without its deadline.

        WorkflowNotFoundError. Nothing happens to one that executes, or has ended otherwise.
        """
        await control.resume(self._connection(), [workflow_id])

    async def resume_workflows(self, workflow_ids: Sequence[str]) -> None:
        """Resume several workflows in one transaction."""
        await control.resume(self._connection(), workflow_ids)

    async def fork_workflow(
        self,
        workflow_id: str,
        start_step: int = 1,
        *,
        new_workflow_id: str | None = None,
        application_version: str | None = None,
    ) -> str:
        """Start a new workflow with another one's inputs, and what it recorded before ``start_step``; its id.

        The new one goes on from there by itself. Messages are not copied. WorkflowNotFoundError.
        """
        return await control.fork(self._connection(), workflow_id, start_step, new_workflow_id, application_version)

    async def delete_workflow(self, workflow_id: str, *, children: bool = False) -> None:
        """Forget a workflow, whatever its status, with all that is recorded of it."""
        await control.delete(self._connection(), [workflow_id], children)

    async def delete_workflows(self, workflow_ids: Sequence[str], *, children: bool = False) -> None:
        """Forget several workflows in one transaction."""
        await control.delete(self._connection(), workflow_ids, children)

    async def update_workflow_attributes(self, workflow_id: str, attributes: Mapping[str, Any] | None) -> None:
        """Replace a workflow's attributes, a JSON object; None removes them. WorkflowNotFoundError."""
        text = None if attributes is None else checked_attributes(attributes)
        await control.update_attributes(self._connection(), workflow_id, text)

    # -- results -------------------------------------------------------------------------------------------------

    @overload
    async def get_result(self, workflow_id: str, *, timeout_seconds: float | None = None) -> Any: ...
    @overload
    async def get_result(self, workflow_id: str, *, timeout_seconds: float | None = None, expect: type[T]) -> T: ...
    async def get_result(self, workflow_id: str, *, timeout_seconds: float | None = None, expect: Any = None) -> Any:
        """Wait for a workflow's outcome: what it returned, or the error it ended with, raised.

        WaitTimeoutError after ``timeout_seconds``; the workflow runs on. WorkflowNotFoundError, WorkflowCancelledError.
        """
        return await results.result(self._connection(), workflow_id, timeout_seconds, types_of(expect))

    @overload
    async def retrieve_workflow(self, workflow_id: str) -> AsyncWorkflowHandle[Any]: ...
    @overload
    async def retrieve_workflow(self, workflow_id: str, *, expect: type[T]) -> AsyncWorkflowHandle[T]: ...
    async def retrieve_workflow(self, workflow_id: str, *, expect: Any = None) -> AsyncWorkflowHandle[Any]:
        """A handle to a workflow that exists, in whatever process it runs. WorkflowNotFoundError."""
        await self.get_workflow_status(workflow_id)
        return AsyncWorkflowHandle(workflow_id, self.asked, types_of(expect))

    async def wait_first(
        self, handles: Sequence[AsyncWorkflowHandle[R]], *, timeout_seconds: float | None = None
    ) -> AsyncWorkflowHandle[R]:
        """The handle of the workflow that has its outcome first. WaitTimeoutError."""
        first = await results.first(self._connection(), [one.workflow_id for one in handles], timeout_seconds)
        return next(one for one in handles if one.workflow_id == first)

    async def wait_all(
        self, handles: Sequence[AsyncWorkflowHandle[R]], *, timeout_seconds: float | None = None
    ) -> list[R]:
        """Wait for all; what they returned, in order, or the first one's error, in order, raised. WaitTimeoutError."""
        return await results.all_of(self._connection(), [one.awaited for one in handles], timeout_seconds)

    @property
    def asked(self) -> Asked:
        """Whom handles ask."""
        return _Asked(self)

    # -- looking -------------------------------------------------------------------------------------------------

    async def get_workflow_status(self, workflow_id: str) -> WorkflowStatus:
        """The row of a workflow as it is now. WorkflowNotFoundError."""
        connection = self._connection()
        run = waits.workflow_code()
        if run is None:
            return await connection.status(workflow_id)
        return await run.noted("durably.get_workflow_status", lambda: connection.status(workflow_id), _STATUS)

    async def list_workflows(self, query: WorkflowQuery = _EVERYTHING) -> list[WorkflowStatus]:
        """One page of the workflows that a query finds, in the order in which they were started."""
        connection = self._connection()
        return await listing.workflows(connection, connection.application_name, query)

    async def count_workflows(
        self, query: WorkflowQuery = _EVERYTHING, *, group_by: Sequence[str] = ()
    ) -> dict[tuple[str | None, ...], int]:
        """How many workflows a query finds, by the values of ``group_by``: ``{("SUCCESS", "shop.place"): 7, …}``.

        Groups are "status", "name", "application_version", "executor_id", "queue_name" and "user"; without any, the one
        key is ``()``.
        """
        connection = self._connection()
        return await listing.count(connection, connection.application_name, query, group_by)

    async def list_workflow_steps(self, workflow_id: str, *, payloads: bool = False) -> list[StepInfo]:
        """The recorded steps of a workflow, by branch and function id; with outputs and errors if ``payloads``."""
        return await listing.steps(self._connection(), workflow_id, payloads)

    async def list_stranded_workflows(self, *, limit: int = 100) -> list[WorkflowStatus]:
        """What is in flight on application versions that no living executor runs."""
        connection = self._connection()
        return await listing.stranded(connection, connection.application_name, limit)

    # -- what a workflow may not find out by itself --------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        """Wait, in a workflow. When it is to wake up is recorded first, so that a crash does not lengthen it."""
        await waits.sleep(seconds)

    async def now(self) -> datetime:
        """The time (UTC); in a workflow recorded, so that a replay sees the same."""
        run = waits.workflow_code()
        connection = self._connection()

        async def find() -> datetime:
            return datetime.fromtimestamp(connection.clock.now_ms() / 1000, timezone.utc)

        return await (find() if run is None else run.noted("durably.now", find, waits.ANY))

    async def uuid(self) -> UUID:
        """A random UUID; in a workflow recorded, so that a replay sees the same."""
        run = waits.workflow_code()

        async def find() -> UUID:
            return uuid4()

        return await (find() if run is None else run.noted("durably.uuid", find, waits.ANY))

    async def patch(self, name: str) -> bool:
        """Whether this workflow began, or came by here first, after the patch ``name`` was put in.

        ``if durably.patch("new-carrier"): …new… else: …old…``: workflows that were recorded on the old path stay on it.
        """
        return await patched(name)

    async def deprecate_patch(self, name: str) -> bool:
        """In place of ``patch`` once no workflow is on the old path any more; True."""
        return await deprecated(name)


_STATUS = TypeTable.for_type(WorkflowStatus)


def types_of(expect: Any) -> TypeTable | None:
    """The classes that a result may have; None: what the workflow's own annotation says."""
    return TypeTable.for_type(expect) if expect is not None else None


class _Asked:
    """Answers the questions of handles with the verbs."""

    def __init__(self, verbs: AwaitedVerbs) -> None:
        self._verbs = verbs

    async def result(
        self, workflow_id: str, *, timeout_seconds: float | None = None, expect: TypeTable | None = None
    ) -> Any:
        return await results.result(self._verbs._connection(), workflow_id, timeout_seconds, expect)

    async def status(self, workflow_id: str) -> WorkflowStatus:
        return await self._verbs.get_workflow_status(workflow_id)

    async def cancel(self, workflow_id: str) -> None:
        await self._verbs.cancel_workflow(workflow_id)

    async def resume(self, workflow_id: str) -> None:
        await self._verbs.resume_workflow(workflow_id)
