"""What is current: the engine, the workflow with its step, the open transaction, the per-call options.

Declared functions reach their engine through the protocols here, never by importing it; that keeps the plan of the
house free of circles. Everything is a context variable, so threads and tasks never see each other's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

from durably.drive import running_loop
from durably.errors import (
    AmbiguousEngineError,
    NoAdapterError,
    NotLaunchedError,
    NoTransactionError,
    OptionsReusedError,
    SessionKindError,
    WrongThreadError,
)

if TYPE_CHECKING:
    from durably.declared import Declaration

T = TypeVar("T")


class CurrentRun(Protocol):
    """One workflow that executes here, as declared functions see it."""

    workflow_id: str
    asynchronous: bool

    def call(self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Run a step, transaction or child workflow as the next function of this workflow."""
        ...


class CurrentEngine(Protocol):
    """A launched engine, as declared functions and verbs see it."""

    name: str

    def call_workflow(
        self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        """Run a workflow in the caller's thread or task, and give its outcome."""
        ...

    def call_transaction(
        self, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        """Run a transaction outside any workflow: through its adapter, recorded nowhere."""
        ...

    def forked(self) -> object:
        """In a forked child: forget all that was opened, and give it away unclosed."""
        ...


class EngineProvider(Protocol):
    """An integration that has an engine for every process that needs one; see ``durably.adapter.launch_lazily``."""

    def constructed(self) -> CurrentEngine:
        """The engine of this process, launched or not; for transactions outside any workflow."""
        ...

    def launched(self) -> CurrentEngine:
        """The same, launched; whoever asks first launches it, the others wait."""
        ...


class Body(NamedTuple):
    """The step or transaction whose body runs right now. ``attempt`` counts from 1."""

    name: str
    function_id: int
    key: str
    attempt: int
    transaction: bool = False
    #: Counts what the body sends and writes, from 1 in each attempt.
    counter: Iterator[int] | None = None


class Frame(NamedTuple):
    """The current workflow and, inside a step or transaction, its body.

    ``task``: in an asynchronous workflow, the one task that may call in this branch.
    """

    run: CurrentRun
    branch: str = ""
    body: Body | None = None
    task: object = None


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that Durably has open, and who may use it."""

    name: str
    handle: Any
    asynchronous: bool
    thread: int
    task: object


_frame: ContextVar[Frame | None] = ContextVar("durably_frame", default=None)
_transaction: ContextVar[OpenTransaction | None] = ContextVar("durably_transaction", default=None)
_engine: ContextVar[CurrentEngine | None] = ContextVar("durably_engine", default=None)
_committed: ContextVar[Callable[[], None] | None] = ContextVar("durably_committed", default=None)
_ignored: ContextVar[bool] = ContextVar("durably_transactions_ignored", default=False)
_options: ContextVar[OptionsBlock | None] = ContextVar("durably_options", default=None)


class _Put(Generic[T]):
    """Gives a context variable a value for a ``with`` block, at a third of the price of a generator."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        self._token: Token[T] = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)


def frame() -> Frame | None:
    """The current workflow frame, or None outside a workflow."""
    return _frame.get()


def entered(new: Frame | None) -> _Put[Frame | None]:
    """Make ``new`` the current frame."""
    return _Put(_frame, new)


def body(new: Body) -> _Put[Frame | None]:
    """Enter the body of a step or transaction of the current workflow, if there is one."""
    current = _frame.get()
    return _Put(_frame, current._replace(body=new) if current is not None else None)


# -- transactions ------------------------------------------------------------------------------------------------


def current_task() -> object:
    """The asyncio task that runs on this thread, or None."""
    if running_loop() is None:
        return None
    import asyncio

    return asyncio.current_task()


@contextmanager
def transaction_opened(name: str, handle: Any, asynchronous: bool) -> Iterator[None]:
    """Make a transaction the current one of this thread or task."""
    opened = OpenTransaction(name, handle, asynchronous, threading.get_ident(), current_task())
    token = _transaction.set(opened)
    try:
        yield
    finally:
        _transaction.reset(token)


def commit_awaited(told: Callable[[], None]) -> _Put[Callable[[], None] | None]:
    """Have ``told`` called if an adapter says that the transaction is committed, before its scope ends."""
    return _Put(_committed, told)


def transaction_committed() -> None:
    """The transaction that an adapter has open here is committed, and code of the user's runs next."""
    told = _committed.get()
    if told is not None:
        told()


def transaction_is_open() -> bool:
    """Whether a transaction of Durably's is open here."""
    return _transaction.get() is not None


def transaction_handle(*, asynchronous: bool, accessor: str) -> Any:
    """The open transaction's handle, for an adapter's accessor such as ``session()``.

    Raises NoTransactionError, SessionKindError, or WrongThreadError where the transaction belongs to another thread
    or task.
    """
    opened = _transaction.get()
    if opened is None:
        raise NoTransactionError(
            f"{accessor}() needs an open transaction: call it inside a function declared with @transaction"
        )
    if opened.asynchronous != asynchronous:
        raise SessionKindError(
            f"{accessor}() does not fit transaction {opened.name!r}, which is "
            f"{'an async def' if opened.asynchronous else 'a plain def'}; use the accessor of the other kind",
            transaction=opened.name,
        )
    if opened.thread != threading.get_ident() or (asynchronous and opened.task is not current_task()):
        raise _wrong_thread(f"{accessor}()", opened.name)
    return opened.handle


def owner_check() -> Callable[[str], None]:
    """A check that raises WrongThreadError on any other thread, or task, than the one it was made on."""
    thread, task = threading.get_ident(), current_task()

    def check(used: str) -> None:
        if threading.get_ident() != thread or (task is not None and current_task() is not task):
            raise _wrong_thread(used, "")

    return check


def _wrong_thread(used: str, name: str) -> WrongThreadError:
    of = f" of transaction {name!r}" if name else ""
    return WrongThreadError(
        f"{used}{of} was used from another thread or task than its own; "
        "do the database work in the transaction's own body, and hand plain values to threads and tasks",
        transaction=name,
    )


@contextmanager
def transactions_ignored_here() -> Iterator[None]:
    """Take no notice of transactions that the caller has open."""
    with _Put(_ignored, True):
        yield


def transactions_ignored() -> bool:
    """Whether a transaction that the caller has open is none of Durably's business."""
    return _ignored.get()


# -- engines -----------------------------------------------------------------------------------------------------

_launched: list[CurrentEngine] = []
_provider: EngineProvider | None = None
_forked_from: int | None = None


def engine_launched(engine: CurrentEngine) -> None:
    """Count ``engine`` among those that may be current."""
    global _forked_from
    _forked_from = None
    _launched.append(engine)


def engine_shut_down(engine: CurrentEngine) -> None:
    """Forget ``engine``."""
    if engine in _launched:
        _launched.remove(engine)


def engine_current(engine: CurrentEngine) -> _Put[CurrentEngine | None]:
    """Make ``engine`` the current one of this context."""
    return _Put(_engine, engine)


def engine_provided(provider: EngineProvider | None) -> None:
    """Ask ``provider`` for an engine from now on, where none is launched; None: nobody."""
    global _provider
    _provider = provider


def current_engine() -> CurrentEngine:
    """The engine of this context, else the only launched one, else one that an integration launches now.

    NotLaunchedError, AmbiguousEngineError.
    """
    engine = _engine.get()
    if engine is not None:
        # Launched or not: another engine than the one that was named is never meant.
        return engine
    if len(_launched) == 1:
        return _launched[0]
    if _launched:
        raise _ambiguous(_launched, "launched")
    if _provider is not None:
        return _provider.launched()
    raise not_launched()


def _ambiguous(engines: list[CurrentEngine], how: str) -> AmbiguousEngineError:
    names = ", ".join(sorted(repr(one.name) for one in engines))
    return AmbiguousEngineError(f"several engines are {how} in this process ({names}); use `with app.current():`")


def not_launched(name: str | None = None) -> NotLaunchedError:
    """The error for a verb that needs a launched engine."""
    if _forked_from is not None:
        return NotLaunchedError(
            f"this process (pid {os.getpid()}) was forked from {_forked_from}, whose engine does not come along; "
            "call app.launch() in the child, for example in gunicorn's post_fork hook"
        )
    which = f"the engine {name!r} is not launched" if name else "no engine is launched"
    return NotLaunchedError(f"{which} in this process; enter `with app:` or call app.launch() first")


def transaction_engine() -> CurrentEngine:
    """The engine whose adapters a transaction outside any workflow uses: launched or not. NoAdapterError."""
    if _launched or _engine.get() is not None:
        return current_engine()
    if _provider is not None:
        return _provider.constructed()
    constructed = list(_constructed)
    if len(constructed) == 1:
        return constructed[0]
    if constructed:
        raise _ambiguous(constructed, "constructed, and none is launched,")
    raise NoAdapterError(
        "a transaction needs an adapter, and no engine is configured in this process; "
        "construct Durably(...) with application_database_url and app_db_client, or with adapters={...}"
    )


def engine_constructed(engine: CurrentEngine) -> None:
    """Remember ``engine`` for as long as somebody holds it."""
    _constructed.add(engine)


_constructed: WeakSet[CurrentEngine] = WeakSet()


def _forked() -> None:
    """In a forked child the threads, connections and leases of the parent are void."""
    global _forked_from
    if _launched:
        _forked_from = os.getppid()
    for engine in _launched:
        # Kept alive: closing the inherited connections here would close the parent's.
        _inherited.append(engine.forked())
    _launched.clear()


_inherited: list[object] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


# -- options -----------------------------------------------------------------------------------------------------


@dataclass
class OptionsBlock:
    """One ``with workflow_options(...)`` block: what the starts inside it are to use."""

    workflow_id: str | None = None
    application_version: str | None = None
    timeout_ms: int | None = None
    deadline_ms: int | None = None
    #: ``timeout_seconds=None`` was given: children do not inherit the deadline.
    detached: bool = False
    attributes: str | None = None
    used_by: str | None = field(default=None)

    def take_workflow_id(self, workflow: str) -> str | None:
        """The block's workflow id, once; a second start raises OptionsReusedError."""
        if self.workflow_id is None:
            return None
        if self.used_by is not None:
            raise OptionsReusedError(
                f"workflow_options(workflow_id={self.workflow_id!r}) served the start of {self.used_by!r} already; "
                f"give the start of {workflow!r} a block of its own",
                workflow_id=self.workflow_id,
            )
        self.used_by = workflow
        return self.workflow_id


def options() -> OptionsBlock:
    """The options in force; an empty block where none is open."""
    return _options.get() or OptionsBlock()


def options_set(block: OptionsBlock | None) -> _Put[OptionsBlock | None]:
    """Put ``block`` in force."""
    return _Put(_options, block)
