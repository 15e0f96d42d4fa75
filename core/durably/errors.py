"""Every error Durably raises: one tree, each with fields, and each says what to do.

    DurablyError
    ├── ConfigurationError              a setting is wrong, missing, or a package is not installed
    │   └── SchemaBehindError           the tables are older than this version of Durably
    ├── DatabaseUnavailableError        the database refused or could not be reached at launch
    ├── NotLaunchedError                a verb was used before launch(), or in a forked child
    ├── NotExecutingError               this engine executes nothing (executes="none")
    ├── AmbiguousEngineError            several engines are launched and none is current
    ├── NotRegisteredError              no such workflow, step or transaction in this process
    ├── DeclarationError                two declarations claim one name, or one is malformed
    ├── NoAdapterError                  no adapter (or not its sync/async half) under that name
    ├── NoTransactionError              a session was asked for where no transaction is open
    │   └── WrongThreadError            … or from another thread or task than the transaction's
    ├── SessionKindError                session() in an async transaction, or the reverse
    ├── TransactionEndedError           the user's function committed or rolled back by itself
    ├── AmbientTransactionError         the caller has a transaction open already
    ├── TransactionRetriesExceededError the database failed transiently for too long
    ├── WaitInsideTransactionError      waiting for what this transaction has not committed
    ├── BlockingCallError               blocking code on an event loop, or awaited code off it
    ├── SerializationError              a value that cannot make the round trip
    ├── NonDeterminismError             a replay took another path than the recorded one
    ├── OptionsReusedError              one workflow_options block, two starts
    ├── WorkflowNotFoundError           no workflow has this id
    ├── WorkflowIdConflictError         the id belongs to another workflow
    ├── WorkflowCancelledError          the workflow was cancelled
    ├── StepAttemptsExceededError       a step failed max_attempts times
    ├── StepTimeoutError                (also a TimeoutError) an attempt of a step was cancelled
    ├── RecoveryAttemptsExceededError   the workflow was dead-lettered
    ├── WaitTimeoutError                (also a TimeoutError) a wait ended before its result
    ├── DuplicateError                  a deduplication id is taken
    ├── NotAuthorizedError              the identity lacks a required role
    └── RemoteError                     a recorded error whose class this process does not know

Signals that user code must not swallow derive from ``BaseException`` and live with the code that
raises them (``durably.execution.signals``). The native error, where there is one, is ``__cause__``.
"""

from __future__ import annotations

from typing import Any


class DurablyError(Exception):
    """Base of every error that Durably raises. Fields given by keyword become attributes."""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.__dict__.update(fields)


class ConfigurationError(DurablyError):
    """A setting is wrong or missing; the message names the setting and a value that works."""


class SchemaBehindError(ConfigurationError):
    """The system database's tables are older than this version of Durably, and migrations are off."""


class DatabaseUnavailableError(DurablyError):
    """The database could not be opened at launch: refused, unknown, read-only. Raised from the native error."""


class NotLaunchedError(DurablyError):
    """No launched engine: call ``launch()``, or enter ``with app:``, in this very process."""


class NotExecutingError(DurablyError):
    """This engine was configured with ``executes="none"`` and runs nothing itself."""


class AmbiguousEngineError(DurablyError):
    """Several engines are launched in this process, and the call does not say which it means."""


class NotRegisteredError(DurablyError):
    """A workflow, step or transaction that no declaration in this process names."""


class DeclarationError(DurablyError):
    """A declaration that cannot stand: two places for one name, or a decorator on the wrong thing."""


class NoAdapterError(DurablyError):
    """A transaction names an adapter that is not configured, or only its other half is."""


class NoTransactionError(DurablyError):
    """A session or connection was asked for where no Durably transaction is open."""


class WrongThreadError(NoTransactionError):
    """A transaction's session was used from another thread or task than the one that runs it."""


class SessionKindError(DurablyError):
    """The synchronous accessor in an asynchronous transaction, or the reverse."""


class TransactionEndedError(DurablyError):
    """The user's function ended the transaction itself (commit, rollback); recorded as its error, not as a success."""


class AmbientTransactionError(DurablyError):
    """The caller has a transaction open already, which a durable transaction cannot share."""


class TransactionRetriesExceededError(DurablyError):
    """A transaction met transient database failures until its time was up. Never recorded as an outcome."""


class WaitInsideTransactionError(DurablyError):
    """Waiting inside a transaction for something that only exists once it has committed."""


class BlockingCallError(DurablyError):
    """Blocking code was called on an event loop, or a coroutine from blocking code; says the form to use."""


class SerializationError(DurablyError):
    """A value that cannot be stored and read back exactly; the message gives the path to the part at fault."""


class NonDeterminismError(DurablyError):
    """A replay asked for another step than the one recorded at that place."""


class OptionsReusedError(DurablyError):
    """``workflow_id`` or ``deduplication_id`` of one ``workflow_options`` block met a second start."""


class WorkflowNotFoundError(DurablyError):
    """No workflow in the system database has this id."""


class WorkflowIdConflictError(DurablyError):
    """The workflow id is taken by another workflow function; ids name one run of one function."""


class WorkflowCancelledError(DurablyError):
    """The workflow was cancelled."""


class StepAttemptsExceededError(DurablyError):
    """A step failed ``max_attempts`` times; ``errors`` has one line for each attempt, the last is ``__cause__``."""


class RecoveryAttemptsExceededError(DurablyError):
    """The workflow lost its executor too often without progress, and was set aside (dead-lettered)."""


class StepTimeoutError(DurablyError, TimeoutError):
    """An attempt of an asynchronous step took longer than its ``timeout_seconds``, and was cancelled."""


class WaitTimeoutError(DurablyError, TimeoutError):
    """A wait ended before its result came; what was waited for goes on."""


class DuplicateError(DurablyError):
    """The deduplication id is held by another workflow."""


class NotAuthorizedError(DurablyError):
    """The current identity has none of the roles that the workflow requires."""


class RemoteError(DurablyError):
    """A recorded error whose class this process does not know; ``type_name`` and the message are kept."""


def missing_extra(extra: str, package: str) -> ConfigurationError:
    """The error for a package that an optional feature needs and that is not installed."""
    return ConfigurationError(
        f"the package {package!r} is not installed; run: pip install 'durably[{extra}]'",
        extra=extra,
        package=package,
    )
