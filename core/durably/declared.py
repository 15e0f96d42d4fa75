"""What was declared: a workflow, step or transaction with its registered name and its options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from durably.errors import ConfigurationError
from durably.serialization import TypeTable

Kind = Literal["workflow", "step", "transaction"]


@dataclass(frozen=True)
class WorkflowOptions:
    """How a workflow is recovered. ``max_recovery_attempts`` None: never dead-lettered."""

    max_recovery_attempts: int | None = 100


@dataclass(frozen=True)
class StepOptions:
    """How a step is retried; seconds throughout.

    ``max_attempts``: how often the body runs at most. The wait before attempt n+1 is ``interval_seconds`` times
    ``backoff_rate`` to the power n-1, at most ``max_interval_seconds``, with up to a half taken off by chance.
    ``should_retry`` sees the error and may say no. ``timeout_seconds``: how long one attempt of a coroutine may take;
    it is cancelled then, which is StepTimeoutError, and tried again like any other error. A plain function cannot be
    interrupted (give what it calls a time-out of its own): there, no attempt begins later than this after the first.
    """

    name: str | None = None
    max_attempts: int = 1
    interval_seconds: float = 1.0
    backoff_rate: float = 2.0
    max_interval_seconds: float = 3600.0
    should_retry: Callable[[Exception], bool] | None = None
    timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts is {self.max_attempts}; a step needs at least 1")
        if self.interval_seconds < 0 or self.backoff_rate < 1 or self.max_interval_seconds < 0:
            raise ConfigurationError("intervals must not be negative, and backoff_rate must be at least 1")
        if self.timeout_seconds is not None and self.timeout_seconds <= 0:
            raise ConfigurationError(f"timeout_seconds is {self.timeout_seconds}; it must be positive")


@dataclass(frozen=True)
class TransactionOptions:
    """Through which adapter a transaction goes, and how it begins. Isolation None: the database's own."""

    adapter: str = "default"
    isolation_level: str | None = None
    read_only: bool = False


@dataclass(frozen=True, eq=False)
class Declaration:
    """One declared function: its registered name, its kind, and how it is to be run."""

    kind: Kind
    name: str
    function: Callable[..., Any]
    is_async: bool
    source: tuple[str, int]
    aliases: tuple[str, ...] = ()
    workflow: WorkflowOptions = field(default=WorkflowOptions())
    step: StepOptions = field(default=StepOptions())
    transaction: TransactionOptions = field(default=TransactionOptions())

    @functools.cached_property
    def types(self) -> TypeTable:
        """The classes that this function's annotations name; resolved at first use, when all modules are loaded."""
        return TypeTable.for_function(self.function)

    @functools.cached_property
    def receiver(self) -> Literal["self", "cls"] | None:
        """What the first parameter is, if the function was defined in a class body; by its conventional name."""
        parent = self.function.__qualname__.rpartition(".")[0]
        if not parent or parent.endswith("<locals>"):
            return None
        first = next(iter(inspect.signature(self.function).parameters), "")
        if first == "self":
            return "self"
        return "cls" if first == "cls" else None

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


def declaration_of(function: Callable[..., Any]) -> Declaration | None:
    """The declaration behind a decorated function or bound method, or None."""
    return cast("Declaration | None", getattr(function, "__durably__", None))
