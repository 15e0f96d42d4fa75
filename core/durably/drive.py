"""One logic, two drivers: coroutines that run on a plain thread and on an event loop alike.

The engine's logic is ``async def`` code that awaits only the awaitables of this module. On an event loop they
suspend the task; without one, ``drive()`` runs the coroutine on the calling thread and blocks at each of them.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from durably.errors import BlockingCallError

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs on this thread, or None. Never loads asyncio by itself."""
    # While another thread is importing it, the module is there without its functions; and no loop can run yet.
    find = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    return cast("asyncio.AbstractEventLoop | None", find()) if find is not None else None


class Promise(Generic[T]):
    """A result that somebody will deliver; awaitable from either driver, by any number of waiters."""

    __slots__ = ("__weakref__", "_error", "_followers", "_futures", "_lock", "_locks", "_settled", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._locks: list[threading.Lock] | None = None
        self._futures: list[asyncio.Future[None]] | None = None
        self._followers: list[Promise[None]] | None = None

    def done(self) -> bool:
        """Whether a result or an error has been delivered."""
        return self._settled

    def result(self) -> T:
        """The delivered result; raises the delivered error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def set_result(self, value: T) -> None:
        """Deliver a result and wake every waiter. The first delivery counts."""
        deliver([(self, value, None)])

    def set_error(self, error: BaseException) -> None:
        """Deliver an error and wake every waiter. The first delivery counts."""
        deliver([(self, None, error)])

    def wait(self, seconds: float | None = None) -> bool:
        """Block this thread until the delivery, at most ``seconds``; whether it came. Does not raise its error."""
        with self._lock:
            if self._settled:
                return True
            gate = threading.Lock()
            gate.acquire()
            self._locks = [*(self._locks or ()), gate]
        if gate.acquire(timeout=-1 if seconds is None else max(seconds, 0.0)):
            return True
        self.forget(gate)
        return self._settled

    def future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """A future of ``loop`` that ends at the delivery, without carrying it."""
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if not self._settled:
                self._futures = [*(self._futures or ()), future]
                return future
        future.set_result(None)
        return future

    def forget(self, waiter: object) -> None:
        """Drop a lock or future that waits no more, so that a promise that is long in coming does not collect them."""
        with self._lock:
            self._locks = [one for one in self._locks or () if one is not waiter] or None
            self._futures = [one for one in self._futures or () if one is not waiter] or None

    def tell(self, other: Promise[None]) -> None:
        """Have ``other`` kept when this one is, be it with an error."""
        with self._lock:
            if not self._settled:
                self._followers = [*(self._followers or ()), other]
                return
        other.set_result(None)

    def untell(self, other: Promise[None]) -> None:
        """The reverse, so that a promise that is long in coming does not collect them."""
        with self._lock:
            self._followers = [one for one in self._followers or () if one is not other] or None

    def __await__(self) -> Generator[Any, Any, T]:
        if not self._settled:
            loop = running_loop()
            if loop is None:
                yield self
            else:
                future = self.future(loop)
                try:
                    yield from future.__await__()
                except BaseException:
                    self.forget(future)
                    raise
        return self.result()

    def settle(self, value: T | None, error: BaseException | None) -> tuple[list[threading.Lock], list[Any]]:
        """Take the first delivery without waking anybody; who must be woken. For ``deliver`` only."""
        with self._lock:
            if not self._settled:
                self._value, self._error, self._settled = value, error, True
            locks, futures = self._locks or [], self._futures or []
            followers = self._followers or ()
        for follower in followers:
            more_locks, more_futures = follower.settle(None, None)
            locks, futures = [*locks, *more_locks], [*futures, *more_futures]
        return locks, futures

    def woken(self) -> None:
        """All who waited have been woken. For ``deliver`` only."""
        self._locks = self._futures = self._followers = None


Delivery = tuple[Promise[Any], Any, "BaseException | None"]


def deliver(deliveries: Iterable[Delivery]) -> None:
    """Settle many promises, then wake threads one by one and each event loop once.

    Interrupted by a signal, it can be called again with the same deliveries: nobody is forgotten before all are woken.
    """
    promises: list[Promise[Any]] = []
    locks: list[threading.Lock] = []
    by_loop: dict[Any, list[Any]] = {}
    for promise, value, error in deliveries:
        blocked, futures = promise.settle(value, error)
        if blocked or futures:
            promises.append(promise)
        locks += blocked
        for future in futures:
            by_loop.setdefault(future.get_loop(), []).append(future)
    for loop, futures in by_loop.items():
        wake_futures(loop, futures)
    for lock in locks:
        with contextlib.suppress(RuntimeError):  # released before, by a delivery at the same time
            lock.release()
    for promise in promises:
        promise.woken()


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def wake_futures(loop: asyncio.AbstractEventLoop, futures: list[asyncio.Future[None]]) -> None:
    """End ``futures`` on their loop with one wake-up; a loop that is closed has nobody left to wake."""

    def end() -> None:
        for future in futures:
            _end(future)

    try:
        loop.call_soon_threadsafe(end)
    except RuntimeError:
        if not loop.is_closed():
            raise


class Within(Generic[T]):
    """Wait for a promise at most ``seconds``; awaited, it tells whether the promise was kept in time."""

    __slots__ = ("_promise", "_seconds")

    def __init__(self, promise: Promise[T], seconds: float) -> None:
        self._promise = promise
        self._seconds = seconds

    def wait(self) -> bool:
        return self._promise.wait(self._seconds)

    def __await__(self) -> Generator[Any, Any, bool]:
        if not self._promise.done():
            loop = running_loop()
            if loop is None:
                yield self
            else:
                yield from self._on(loop)
        return self._promise.done()

    def _on(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, None]:
        future = self._promise.future(loop)
        timer = loop.call_later(self._seconds, _end, future)
        try:
            yield from future.__await__()
        finally:
            timer.cancel()
            self._promise.forget(future)


class Offload(Generic[R]):
    """A blocking call: made on the spot where blocking is fine, on a thread of ``submit`` under an event loop."""

    __slots__ = ("_call", "_submit")

    def __init__(self, call: Callable[[], R], submit: Callable[[Callable[[], None]], None]) -> None:
        self._call = call
        self._submit = submit

    def __await__(self) -> Generator[Any, Any, R]:
        if running_loop() is None:
            return self._call()
        promise: Promise[R] = Promise()

        def run() -> None:
            try:
                promise.set_result(self._call())
            except BaseException as error:  # carried to whoever awaits
                promise.set_error(error)

        self._submit(run)
        return (yield from promise.__await__())


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of the engine on this thread, blocking at each of this module's awaitables."""
    try:
        waitable = coroutine.send(None)
        while True:
            if not isinstance(waitable, (Promise, Within)):
                waitable = coroutine.throw(_foreign(waitable))
                continue
            try:
                waitable.wait()
            except BaseException as interruption:
                # The coroutine cleans up; what it had submitted may still be written.
                waitable = coroutine.throw(interruption)
            else:
                waitable = coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    finally:
        coroutine.close()


def _foreign(waitable: object) -> BlockingCallError:
    return BlockingCallError(
        f"blocking code cannot wait for {type(waitable).__module__}.{type(waitable).__qualname__}; "
        "declare the workflow with `async def` and start it with durably.aio"
    )


def refuse_on_loop(name: str, instead: str | None = None) -> None:
    """Raise if an event loop runs on this thread, where blocking would stop every task."""
    if running_loop() is not None:
        instead = instead or f"await durably.aio.{name}(...)"
        raise BlockingCallError(
            f"durably.{name}() would block the event loop of this thread; use `{instead}`",
            verb=name,
        )


def blocking(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """The blocking form of a verb: same signature and docstring, one line each."""
    name = function.__name__.lstrip("_")

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_on_loop(name)
        return drive(function(*args, **kwargs))

    run.__name__ = name
    return run
