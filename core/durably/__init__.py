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
from durably.client import Client
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
    StepTimeoutError,
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
from durably.messaging.messages import Message
from durably.model import Status, StepInfo, WorkflowQuery, WorkflowStatus
from durably.serialization import register_types
from durably.verbs import (
    cancel_workflow,
    cancel_workflows,
    close_stream,
    count_workflows,
    delete_workflow,
    delete_workflows,
    deprecate_patch,
    fork_workflow,
    get_all_events,
    get_event,
    get_result,
    get_workflow_status,
    list_stranded_workflows,
    list_workflow_steps,
    list_workflows,
    now,
    patch,
    read_stream,
    recv,
    resume_workflow,
    resume_workflows,
    retrieve_workflow,
    run_step,
    send,
    send_bulk,
    set_event,
    sleep,
    start_workflow,
    update_workflow_attributes,
    uuid,
    wait_all,
    wait_first,
    write_stream,
)

if typing.TYPE_CHECKING:
    from durably import aio as aio

__all__ = [
    "AmbientTransactionError",
    "AmbiguousEngineError",
    "BlockingCallError",
    "Client",
    "ConfigurationError",
    "DatabaseUnavailableError",
    "DeclarationError",
    "DuplicateError",
    "Durably",
    "DurablyError",
    "Message",
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
    "StepInfo",
    "StepOptions",
    "StepTimeoutError",
    "TransactionEndedError",
    "TransactionRetriesExceededError",
    "WaitInsideTransactionError",
    "WaitTimeoutError",
    "WorkflowCancelledError",
    "WorkflowHandle",
    "WorkflowIdConflictError",
    "WorkflowNotFoundError",
    "WorkflowQuery",
    "WorkflowStatus",
    "WrongThreadError",
    "__version__",
    "aio",
    "attempt",
    "cancel_workflow",
    "cancel_workflows",
    "close_stream",
    "configured",
    "count_workflows",
    "delete_workflow",
    "delete_workflows",
    "deprecate_patch",
    "fork_workflow",
    "get_all_events",
    "get_event",
    "get_result",
    "get_workflow_status",
    "list_stranded_workflows",
    "list_workflow_steps",
    "list_workflows",
    "logger",
    "now",
    "outside_transaction",
    "patch",
    "read_stream",
    "recv",
    "register_types",
    "resume_workflow",
    "resume_workflows",
    "retrieve_workflow",
    "run_step",
    "send",
    "send_bulk",
    "set_event",
    "sleep",
    "start_workflow",
    "step",
    "step_id",
    "step_key",
    "transaction",
    "update_workflow_attributes",
    "uuid",
    "wait_all",
    "wait_first",
    "workflow",
    "workflow_id",
    "workflow_options",
    "write_stream",
]


def __getattr__(name: str) -> typing.Any:
    if name == "aio":  # loaded at first use, like the event loop it is for
        from importlib import import_module

        return import_module("durably.aio")
    raise AttributeError(f"module 'durably' has no attribute {name!r}")
