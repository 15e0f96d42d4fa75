"""One application under test: a subject that is open, and Durably launched on its adapter.

Scenarios are coroutines for both halves. On an asynchronous subject they run on an event loop, in one task; on a
synchronous one without any, and none of what they await suspends.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

from durably.ambient import workflow_options
from durably.clock import SystemClock
from durably.declarations import transaction, workflow
from durably.drive import drive
from durably.engine import Durably
from durably.testing.conformance.control import Control, Recorded, control_of
from durably.testing.conformance.databases import Site
from durably.testing.conformance.orm import Orm, settled
from durably.testing.conformance.subject import Capabilities, Subject
from durably.testing.conformance.wire import Wire

#: A transaction's function, or a workflow's: written once, for both halves.
Body = Callable[[], Coroutine[Any, Any, Any]]
#: What is declared, and called with no arguments: a function, or a coroutine function.
Call = Callable[[], Any]

#: The application that all executors of a scenario belong to, and its workflow's registered name.
APPLICATION, WORKFLOW = "conformance", "conformance"
#: How long a scenario waits for what should come in milliseconds (seconds).
PATIENCE = 20.0
#: How long a server may show a transaction that is over. InnoDB looks anew if nobody has asked for a tenth of a second.
LAG_SECONDS, STALE_SECONDS = 3.0, 0.12
#: How long a shutdown waits for what a scenario has left unfinished, as a failed one does.
DRAIN_SECONDS = 2.0
_CLOCK = SystemClock()


class Interrupted(BaseException):
    """Ends a workflow without an outcome, as a crash does; it is run again."""


class DeclaredUnsupported(Exception):
    """The subject declares that it cannot do this; the scenario has shown what happens instead."""


class NotApplicable(Exception):
    """The situation cannot arise with this subject on this database."""


class Lab:
    """The application; enters and leaves with ``async with``."""

    def __init__(
        self,
        subject: type[Subject],
        site: Site,
        *,
        lock_seconds: float = 5.0,
        launched: bool = True,
        wire: Wire | None = None,
    ) -> None:
        self.site = site
        self.placement = site.placement
        self.control: Control = site.control
        self.subject = subject(site.url if wire is None else wire.url, lock_seconds=lock_seconds)
        self.orm = Orm(self.subject)
        self.asynchronous = subject.asynchronous
        self.capabilities: Capabilities = subject.capabilities
        #: What lies between the subject and its server, where the scenario asks for it.
        self.wire: Wire | None = wire
        #: The adapter under test.
        self.adapter: Any = None
        self._launched = launched
        self._engines: list[Durably] = []

    # -- the life of it ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Lab:
        self.adapter = await settled(self.subject.open())
        try:
            if self._launched:
                await self.launch()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def launch(self, **settings: Any) -> Durably:
        """Launch an engine on the adapter, by itself or beside others."""
        given: dict[str, Any] = {"lease_seconds": 5.0, "transaction_retry_seconds": PATIENCE, **settings}
        engine = Durably(
            APPLICATION,
            adapters={"default": self.adapter},
            system_database_url=self.site.system_url,
            **given,
        )
        if self.asynchronous:
            await engine.__aenter__()
        else:
            engine.launch()
        self._engines.append(engine)
        return engine

    async def close(self) -> None:
        """Shut the engines down, and close the subject."""
        try:
            await self.close_engines()
        finally:
            await settled(self.subject.close())

    async def close_engines(self) -> None:
        """Shut the engines down; others can be launched after them."""
        while self._engines:
            shutdown = functools.partial(self._engines.pop().shutdown, DRAIN_SECONDS)
            if self.asynchronous:
                await asyncio.to_thread(shutdown)
            else:
                shutdown()

    @property
    def engine(self) -> Durably:
        """The engine that was launched first."""
        return self._engines[0]

    # -- declaring -----------------------------------------------------------------------------------------------

    def transaction(self, body: Body, **options: Any) -> Call:
        """Declare a transaction with that body, of the subject's own kind."""
        return self._declared(transaction(name=body.__name__, **options), body)

    def workflow(self, *calls: Call, name: str = WORKFLOW) -> Call:
        """Declare a workflow that makes these calls, and returns what the last one gave."""

        async def body() -> Any:
            value = None
            for call in calls:
                value = await settled(call())
            return value

        return self._declared(workflow(name=name), body)

    def _declared(self, declare: Callable[[Any], Any], body: Body) -> Call:
        declared: Call
        if self.asynchronous:

            async def awaited() -> Any:
                return await body()

            declared = declare(awaited)
        else:

            def plain() -> Any:
                return drive(body())

            declared = declare(plain)
        return declared

    # -- running -------------------------------------------------------------------------------------------------

    async def run(self, *bodies: Body, workflow_id: str | None = None, **options: Any) -> Any:
        """Run one workflow of a transaction for each body; what the last returned."""
        return await self.call(*[self.transaction(body, **options) for body in bodies], workflow_id=workflow_id)

    async def failure(self, *bodies: Body, workflow_id: str | None = None, **options: Any) -> Exception:
        """Run one workflow that must end with an error; the error."""
        try:
            value = await self.run(*bodies, workflow_id=workflow_id, **options)
        except Exception as error:
            return error
        raise AssertionError(f"the workflow returned {value!r}, and should have failed")

    async def call(self, *calls: Call, workflow_id: str | None = None) -> Any:
        """Run one workflow that makes these calls, in this thread or task; what the last gave."""
        return await self.execute(self.workflow(*calls), workflow_id)

    @staticmethod
    async def do(call: Call) -> Any:
        """Make one call, here."""
        return await settled(call())

    @staticmethod
    async def execute(flow: Call, workflow_id: str | None = None) -> Any:
        """Run a workflow in this thread or task."""
        with workflow_options(workflow_id=workflow_id):
            return await settled(flow())

    async def start(self, flow: Call, workflow_id: str, engine: Durably | None = None) -> None:
        """Start a workflow in the background."""
        with workflow_options(workflow_id=workflow_id):
            await (engine or self.engine).start(flow, (), {})

    async def result(self, workflow_id: str, engine: Durably | None = None) -> Any:
        """The outcome of a workflow that runs in the background."""
        return await (engine or self.engine).result(workflow_id, timeout_seconds=PATIENCE)

    def adding(self, n: int, note: str | None = None) -> Body:
        """A body that adds one row, and returns its number."""

        async def body() -> int:
            await self.orm.add(n, note)
            return n

        body.__name__ = f"add_{n}"
        return body

    # -- at the same time ----------------------------------------------------------------------------------------

    async def together(self, *works: Body) -> list[Any]:
        """Do all of it at once, in threads or tasks of their own; what each gave, or the error that it raised."""
        if self.asynchronous:
            return list(await asyncio.gather(*(work() for work in works), return_exceptions=True))
        given: list[Any] = [None] * len(works)

        def do(index: int, work: Body) -> None:
            try:
                given[index] = drive(work())
            except BaseException as error:
                given[index] = error
            finally:
                self.subject.thread_ends()

        threads = [threading.Thread(target=do, args=each, daemon=True) for each in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return given

    async def over(self) -> None:
        """Wait until no connection is in a transaction; the server's view may lag behind a moment. AssertionError."""
        left: list[str] = []

        def none() -> bool:
            left[:] = self.control.open_transactions()
            return not left

        try:
            await self.until(none, "every transaction is over", seconds=LAG_SECONDS, every=STALE_SECONDS)
        except AssertionError:
            raise AssertionError(f"transactions are left open: {left}") from None

    async def until(
        self, condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE, every: float = 0.005
    ) -> None:
        """Wait for something that another thread or task brings about; looked at ``every`` so many seconds."""
        deadline = _CLOCK.monotonic() + seconds
        while not condition():
            if _CLOCK.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s in vain until {what}")
            await self.pause(every)

    @staticmethod
    async def pause(seconds: float) -> None:
        """Let others go on for a moment."""
        waiting: Awaitable[object] = _CLOCK.sleep(seconds)
        await waiting

    # -- what is in the database ---------------------------------------------------------------------------------

    def items(self) -> list[int]:
        """The committed rows."""
        return self.control.items()

    def recorded(self) -> list[Recorded]:
        """The committed checkpoints of transactions that write."""
        return self.control.recorded()

    def history(self) -> list[Recorded]:
        """The checkpoints in the system database: those of read-only transactions, and what has been echoed."""
        if self.placement.colocated:
            return self.control.recorded()
        with control_of("sqlite", self.site.system_url, True) as system:
            return system.recorded()

    def unsupported(self, why: str) -> DeclaredUnsupported:
        """To raise at the end of a scenario that a declared capability rules out."""
        return DeclaredUnsupported(f"{self.subject.name}: {why}")
