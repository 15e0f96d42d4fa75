"""Handles: what a start gives back, to ask for a workflow's result and status, blocking or awaited."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from durably.drive import drive, refuse_on_loop
from durably.model import WorkflowStatus
from durably.serialization import TypeTable

R = TypeVar("R")


class Asked(Protocol):
    """Who a handle asks."""

    async def result(
        self, workflow_id: str, *, timeout_seconds: float | None = None, expect: TypeTable | None = None
    ) -> Any:
        """Wait for a workflow's outcome; ``expect`` are the classes its value may have."""
        ...

    async def status(self, workflow_id: str) -> WorkflowStatus:
        """Read a workflow's status."""
        ...

    async def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow."""
        ...

    async def resume(self, workflow_id: str) -> None:
        """Resume a workflow."""
        ...


class WorkflowHandle(Generic[R]):
    """A workflow that was started, here or elsewhere."""

    def __init__(self, workflow_id: str, asked: Asked, expect: TypeTable | None = None) -> None:
        self._workflow_id = workflow_id
        self._asked = asked
        self._expect = expect

    @property
    def workflow_id(self) -> str:
        """The id that names this workflow in every process."""
        return self._workflow_id

    @property
    def awaited(self) -> tuple[str, TypeTable | None]:
        """The id, and the classes that the value may have; for ``wait_all``."""
        return self._workflow_id, self._expect

    def get_result(self, *, timeout_seconds: float | None = None) -> R:
        """Wait for the outcome: what the workflow returned, or the error it ended with, raised.

        WaitTimeoutError after ``timeout_seconds``; the workflow runs on. WorkflowNotFoundError, WorkflowCancelledError.
        """
        refuse_on_loop("WorkflowHandle.get_result")
        result: R = drive(self._asked.result(self._workflow_id, timeout_seconds=timeout_seconds, expect=self._expect))
        return result

    def get_status(self) -> WorkflowStatus:
        """The workflow's row as it is now."""
        refuse_on_loop("WorkflowHandle.get_status")
        return drive(self._asked.status(self._workflow_id))

    def cancel(self) -> None:
        """Cancel the workflow; see ``durably.cancel_workflow``."""
        refuse_on_loop("WorkflowHandle.cancel")
        drive(self._asked.cancel(self._workflow_id))

    def resume(self) -> None:
        """Resume the workflow; see ``durably.resume_workflow``."""
        refuse_on_loop("WorkflowHandle.resume")
        drive(self._asked.resume(self._workflow_id))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._workflow_id!r})"


class AsyncWorkflowHandle(Generic[R]):
    """The same, awaited."""

    def __init__(self, workflow_id: str, asked: Asked, expect: TypeTable | None = None) -> None:
        self._workflow_id = workflow_id
        self._asked = asked
        self._expect = expect

    @property
    def workflow_id(self) -> str:
        """The id that names this workflow in every process."""
        return self._workflow_id

    @property
    def awaited(self) -> tuple[str, TypeTable | None]:
        """The id, and the classes that the value may have; for ``wait_all``."""
        return self._workflow_id, self._expect

    async def get_result(self, *, timeout_seconds: float | None = None) -> R:
        """Wait for the outcome; see WorkflowHandle.get_result."""
        result: R = await self._asked.result(self._workflow_id, timeout_seconds=timeout_seconds, expect=self._expect)
        return result

    async def get_status(self) -> WorkflowStatus:
        """The workflow's row as it is now."""
        return await self._asked.status(self._workflow_id)

    async def cancel(self) -> None:
        """Cancel the workflow; see ``durably.cancel_workflow``."""
        await self._asked.cancel(self._workflow_id)

    async def resume(self) -> None:
        """Resume the workflow; see ``durably.resume_workflow``."""
        await self._asked.resume(self._workflow_id)

    def __repr__(self) -> str:
        return f"durably.aio.WorkflowHandle({self._workflow_id!r})"
