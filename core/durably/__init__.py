"""Durable execution for Python programs that keep their data in a SQL database and reach it through an ORM.

Declare workflows, steps and transactions; construct a ``Durably``; launch it. The verbs here block; ``durably.aio`` has
the same ones, awaited.
"""

from __future__ import annotations

import typing

from durably._version import __version__
from durably.ambient import (
    attempt,
    configured,
    logger,
    outside_transaction,
    step_id,
    step_key,
    workflow_id,
    workflow_options,
)
from durably.declarations import step, transaction, workflow
from durably.declared import StepOptions
from durably.engine import Durably
from durably.errors import (
    AmbientTransactionError,
    AmbiguousEngineError,
    BlockingCallError,
    ConfigurationError,
    DatabaseUnavailableError,
    DeclarationError,
    DuplicateError,
    DurablyError,
    NoAdapterError,
    NonDeterminismError,
    NotAuthorizedError,
    NotExecutingError,
    NotLaunchedError,
    NoTransactionError,
    NotRegisteredError,
    OptionsReusedError,
    RecoveryAttemptsExceededError,
    RemoteError,
    SchemaBehindError,
    SerializationError,
    SessionKindError,
    StepAttemptsExceededError,
    TransactionEndedError,
    TransactionRetriesExceededError,
    WaitInsideTransactionError,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowIdConflictError,
    WorkflowNotFoundError,
    WrongThreadError,
)
from durably.handles import WorkflowHandle
from durably.model import Status, WorkflowStatus
from durably.serialization import register_types
from durably.verbs import get_result, get_workflow_status, retrieve_workflow, run_step, start_workflow

if typing.TYPE_CHECKING:
    from durably import aio as aio

__all__ = [
    "AmbientTransactionError",
    "AmbiguousEngineError",
    "BlockingCallError",
    "ConfigurationError",
    "DatabaseUnavailableError",
    "DeclarationError",
    "DuplicateError",
    "Durably",
    "DurablyError",
    "NoAdapterError",
    "NoTransactionError",
    "NonDeterminismError",
    "NotAuthorizedError",
    "NotExecutingError",
    "NotLaunchedError",
    "NotRegisteredError",
    "OptionsReusedError",
    "RecoveryAttemptsExceededError",
    "RemoteError",
    "SchemaBehindError",
    "SerializationError",
    "SessionKindError",
    "Status",
    "StepAttemptsExceededError",
    "StepOptions",
    "TransactionEndedError",
    "TransactionRetriesExceededError",
    "WaitInsideTransactionError",
    "WaitTimeoutError",
    "WorkflowCancelledError",
    "WorkflowHandle",
    "WorkflowIdConflictError",
    "WorkflowNotFoundError",
    "WorkflowStatus",
    "WrongThreadError",
    "__version__",
    "aio",
    "attempt",
    "configured",
    "get_result",
    "get_workflow_status",
    "logger",
    "outside_transaction",
    "register_types",
    "retrieve_workflow",
    "run_step",
    "start_workflow",
    "step",
    "step_id",
    "step_key",
    "transaction",
    "workflow",
    "workflow_id",
    "workflow_options",
]


def __getattr__(name: str) -> typing.Any:
    if name == "aio":  # loaded at first use, like the event loop it is for
        from importlib import import_module

        return import_module("durably.aio")
    raise AttributeError(f"module 'durably' has no attribute {name!r}")
