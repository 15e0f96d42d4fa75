"""What a workflow's code may ask about itself, and the options of the next start."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from durably import context
from durably.context import OptionsBlock
from durably.errors import ConfigurationError
from durably.names import checked_new_id
from durably.registry import registry

T = TypeVar("T")

MAX_SECONDS = 1e10  # 300 years; a deadline still fits into a bigint of milliseconds


def workflow_id() -> str | None:
    """The id of the workflow that runs here, or None outside a workflow."""
    frame = context.frame()
    return frame.run.workflow_id if frame is not None else None


def step_id() -> int | None:
    """The function id of the step or transaction whose body runs here, or None outside one. Counts from 1."""
    frame = context.frame()
    return frame.body.function_id if frame is not None and frame.body is not None else None


def step_key() -> str:
    """An idempotency key for what the current step calls: the same on every attempt and after every recovery.

    Outside a workflow, where nothing is ever repeated, it is a new one each time.
    """
    frame = context.frame()
    return frame.body.key if frame is not None and frame.body is not None else str(uuid4())


def attempt() -> int:
    """Which attempt of the current step or transaction this is, from 1; 1 outside a body."""
    frame = context.frame()
    return frame.body.attempt if frame is not None and frame.body is not None else 1


class _Inherited:
    """The default of ``timeout_seconds``: a child has its parent's deadline."""

    def __repr__(self) -> str:
        return "inherited"


INHERITED = _Inherited()


@contextmanager
def workflow_options(
    *,
    workflow_id: str | None = None,
    timeout_seconds: float | _Inherited | None = INHERITED,
    deadline: datetime | None = None,
    attributes: Mapping[str, Any] | None = None,
    application_version: str | None = None,
) -> Iterator[None]:
    """Options for the starts inside the block.

    ``workflow_id``: the id of the one workflow that is started inside, which makes the start idempotent: a second start
    with the same id, here or elsewhere, gets the first one's outcome. A second start in the same block raises
    OptionsReusedError.
    ``timeout_seconds``: how long the workflow may execute, counted from when it begins; ``deadline``: the same as an
    aware datetime. When it is over, the workflow is cancelled, whatever has been restarted meanwhile. Children inherit
    it; ``timeout_seconds=None`` detaches them.
    ``attributes``: a JSON object to find the workflow by. ``application_version``: which executors may run it.
    """
    if workflow_id is not None:
        checked_new_id(workflow_id)
    detached = timeout_seconds is None
    seconds = None if isinstance(timeout_seconds, _Inherited) else timeout_seconds
    if seconds is not None and not 0 < seconds < MAX_SECONDS:
        raise ConfigurationError(f"timeout_seconds is {seconds!r}; give a positive number of seconds, or None")
    if deadline is not None and deadline.tzinfo is None:
        raise ConfigurationError(f"the deadline {deadline!r} has no time zone; for example datetime.now(timezone.utc)")
    if deadline is not None and seconds is not None:
        raise ConfigurationError("give timeout_seconds or deadline, not both")
    block = OptionsBlock(
        workflow_id=workflow_id,
        application_version=application_version,
        timeout_ms=int(seconds * 1000) if seconds is not None else None,
        deadline_ms=int(deadline.timestamp() * 1000) if deadline is not None else None,
        detached=detached,
        attributes=checked_attributes(attributes) if attributes is not None else None,
    )
    with context.options_set(block):
        yield


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def checked_attributes(attributes: object) -> str:
    """Attributes as JSON text; ConfigurationError for what is no plain JSON object."""
    try:
        text = json.dumps(attributes, allow_nan=False)
        if not isinstance(attributes, Mapping) or json.loads(text) != attributes:
            raise ValueError("it is not what JSON makes of it")
        json.dumps(attributes, ensure_ascii=False).encode()  # no halves of surrogate pairs
        if _NUL.search(text):
            raise ValueError("PostgreSQL stores no NUL characters in JSON")
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"attributes must be a plain JSON object with text keys: {error}") from error
    return text


@contextmanager
def outside_transaction() -> Iterator[None]:
    """Starts inside the block take no notice of a transaction that the caller has open.

    Without it, where the ORM can tell, a start joins the open transaction, and exists exactly if that commits.
    """
    with context.transactions_ignored_here():
        yield


def configured(name: str, instance: T) -> T:
    """Name an instance whose methods are workflows, so that another process can recover them; the instance itself.

    Call it at import time with the same name in every process.
    """
    return registry.configure(name, instance)


if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:  # not subscriptable before Python 3.11
    _LoggerAdapter = logging.LoggerAdapter


class _WorkflowLogger(_LoggerAdapter):
    """Adds the workflow id and step id of wherever it is called to every record."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        extra = {"workflow_id": workflow_id(), "step_id": step_id(), **kwargs.get("extra", {})}
        return msg, {**kwargs, "extra": extra}


#: A logger for workflow code; records carry ``workflow_id`` and ``step_id``.
logger: _LoggerAdapter = _WorkflowLogger(logging.getLogger("durably.workflow"), {})
