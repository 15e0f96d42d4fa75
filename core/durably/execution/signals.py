"""How an execution is stopped from within: signals that user code must not swallow, hence not ``Exception``."""

from __future__ import annotations


class ExecutionSignal(BaseException):
    """Base of the signals that unwind a workflow's own code without being its outcome."""

    def __init__(self, workflow_id: str, why: str) -> None:
        super().__init__(f"workflow {workflow_id!r}: {why}")
        self.workflow_id = workflow_id


class Parked(ExecutionSignal):
    """Another executor holds the workflow now; this one waits for the outcome that the other records."""


class HandedBack(ExecutionSignal):
    """The workflow cannot go on here for now and is handed back without an outcome; ``error`` says why."""

    def __init__(self, workflow_id: str, error: Exception) -> None:
        super().__init__(workflow_id, str(error))
        self.error = error
