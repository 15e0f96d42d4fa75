"""Where workflows run in the background: plain functions on threads, coroutines on one event loop."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("durably.execution")

#: An idle thread ends after this many seconds.
IDLE_SECONDS = 10.0


class Threads:
    """As many threads as there is work at once, kept a while for more.

    Daemons, unlike those of concurrent.futures: a process may end while workflows wait; they go on elsewhere.
    """

    def __init__(self, name: str, after: Callable[[bool], None] | None = None) -> None:
        """``after``: called on the thread after each piece of work (False), and as its last act (True)."""
        self._name = name
        self._after = after
        self._mutex = threading.Lock()
        self._idle: dict[queue.SimpleQueue[Callable[[], None] | None], threading.Thread] = {}
        self._alive: set[threading.Thread] = set()
        self._count = 0
        self._closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Run ``work`` on an idle thread, or on a new one."""
        with self._mutex:
            if self._idle:
                self._idle.popitem()[0].put(work)
                return
            self._count += 1
            name = f"{self._name}-{self._count}"
            thread = threading.Thread(target=self._work, args=(work,), name=name, daemon=True)
            self._alive.add(thread)
        try:
            thread.start()
        except BaseException:
            self._alive.discard(thread)
            raise

    def close(self, busy_seconds: float = 0.0) -> None:
        """End the idle threads, and wait at most so long for the others; those that still work then end later."""
        deadline = time.monotonic() + busy_seconds
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, {}
            busy = self._alive - {threading.current_thread(), *idle.values()}
        for inbox in idle:
            inbox.put(None)
        for thread in idle.values():
            thread.join()
        for thread in busy:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _work(self, first: Callable[[], None]) -> None:
        inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        work: Callable[[], None] | None = first
        while work is not None:
            self._guarded(work)
            self._finished(ends=False)
            work = self._next(inbox)
        self._finished(ends=True)
        with self._mutex:
            self._alive.discard(threading.current_thread())

    def _finished(self, *, ends: bool) -> None:
        after = self._after
        if after is not None:
            self._guarded(lambda: after(ends))

    @staticmethod
    def _guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            log.exception("a background thread failed")

    def _next(self, inbox: queue.SimpleQueue[Callable[[], None] | None]) -> Callable[[], None] | None:
        """More work, or None when there has been none for a while."""
        with self._mutex:
            if self._closed:
                return None
            self._idle[inbox] = threading.current_thread()
        try:
            return inbox.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with self._mutex:
                if self._idle.pop(inbox, None) is not None:
                    return None
        return inbox.get()


class Loop:
    """The event loop for background coroutines: one that is given, else a thread of its own, started when needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._given = loop is not None
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._tasks: set[Any] = set()

    def give(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use ``loop`` from now on."""
        self._loop, self._given = loop, True

    def submit(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine as a task of the loop; from any thread."""
        loop = self._running()
        # In a context of its own, as on a thread: neither its caller's transaction nor anything else is inherited.
        loop.call_soon_threadsafe(self._spawn, coroutine, context=contextvars.Context())

    def _spawn(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        import asyncio

        # The loop itself keeps only weak references to its tasks.
        task = asyncio.get_running_loop().create_task(coroutine())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop and wait for it on this thread; where no loop runs, nothing ran on it either."""
        loop = self._loop
        if loop is None or not loop.is_running():
            coroutine.close()
            return

        import asyncio

        asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._mutex:
            if self._loop is None or self._loop.is_closed():
                self._start()
            assert self._loop is not None  # noqa: S101
            return self._loop

    def _start(self) -> None:
        import asyncio

        loop = self._loop = asyncio.new_event_loop()
        self._given = False
        self._thread = threading.Thread(target=loop.run_forever, name="durably-loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the loop's thread, if it is ours; what still runs there is cancelled."""
        with self._mutex:
            thread, loop, self._thread, self._loop = self._thread, self._loop, None, None
        if thread is None or loop is None:
            return

        import asyncio

        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    import asyncio

    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
