"""What exists between launch and shutdown: connections, lease, threads, and the runs that execute here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from durably import context
from durably.client import Connected
from durably.clock import Clock
from durably.config import Settings
from durably.context import CurrentEngine
from durably.declared import Declaration
from durably.drive import drive
from durably.errors import DeclarationError, NotLaunchedError
from durably.execution.adapters import Adapters
from durably.execution.calls import CallingRun
from durably.execution.child import child_id
from durably.execution.joining import Open, open_transaction, refuse_call
from durably.execution.places import Loop, Threads
from durably.execution.run import Run
from durably.execution.runner import Ready, Runner
from durably.execution.services import Services
from durably.execution.waits import ANY
from durably.executors.lease import LeaseKeeper
from durably.executors.takeover import Takeover
from durably.ledger import queries
from durably.ledger.queries import Claimant
from durably.model import CheckpointKey
from durably.registry import registry
from durably.serialization import Serialization

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("durably")

START = "durably.start_workflow"

#: How long a shutdown waits for a claim that is on its way.
CLAIM_SECONDS = 5.0
#: … and for threads whose work is done to hand back their connections.
RELEASE_SECONDS = 1.0


class Launched:
    """One launch of an engine. ``executor`` is None where nothing is executed."""

    def __init__(
        self,
        engine: CurrentEngine,
        settings: Settings,
        clock: Clock,
        serialization: Serialization,
        adapters: Adapters,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        adapters.check(registry.all())
        # A fresh id for each launch, so that a late write of an earlier life can never pass for this one's.
        claimant = Claimant(settings.name, str(uuid4()), settings.application_version, ())
        self.threads = Threads("durably-workflow", lambda ends: adapters.release(ends=ends))
        self.loop = Loop(loop)
        self.connected = Connected(settings, serialization, clock)
        lease = LeaseKeeper(
            self.connected.ledger,
            clock,
            claimant,
            label=settings.executor_label,
            lease_seconds=settings.lease_seconds,
        )
        self.services = Services(
            ledger=self.connected.ledger,
            outcomes=self.connected.outcomes,
            serialization=serialization,
            clock=clock,
            adapters=adapters,
            application_name=settings.name,
            application_version=settings.application_version,
            executor_id=claimant.executor_id,
            lease=lease,
            lease_ms=lease.lease_ms,
            transaction_retry_seconds=settings.transaction_retry_seconds,
            in_thread=self.threads.submit,
        )
        active = self.services.active
        self.connected.executes = lambda workflow_id: active.get(workflow_id) is not None
        self.runner = Runner(self.services, engine)
        self.executor: LeaseKeeper | None = None
        self._takeover: Takeover | None = None
        if settings.executes == "none":
            return
        try:
            lease.open()
        except BaseException:
            self.connected.close()
            raise
        self.executor = lease
        self._takeover = Takeover(
            self.runner,
            claimant,
            self.dispatch,
            clock=clock,
            look_seconds=lease.interval,
            claims=settings.executes == "all",
        )
        lease.lapsed = self._takeover.stop_lost
        self.services.due_in = self._takeover.due_in

    def begin(self) -> None:
        """Look for work from now on."""
        if self._takeover is not None:
            self._takeover.open()

    def new_workflow_id(self, declaration: Declaration) -> str:
        """The id for a workflow that starts now: the options', a child's, or a new one."""
        given = context.options().take_workflow_id(declaration.name)
        if given is not None:
            return given
        frame = context.frame()
        if frame is not None and isinstance(frame.run, CallingRun):
            if frame.body is not None:
                raise DeclarationError(
                    f"{declaration} was started inside the body of {frame.body.name!r} of workflow "
                    f"{frame.run.workflow_id!r}, which may run again; name what it starts, with "
                    "`durably.workflow_options(workflow_id=...)`, or start it from the workflow itself"
                )
            return child_id(frame.run, frame.run.next_key(declaration.name))
        return str(uuid4())

    async def start_child(
        self, run: CallingRun, declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str:
        """Start a workflow as the next function of another one, recorded with it in one transaction; its id."""
        given = context.options().take_workflow_id(declaration.name)

        async def perform(key: CheckpointKey) -> str:
            workflow_id = given or child_id(run, key)
            held = self.executor is not None
            recorded = run.output_checkpoint(workflow_id, key, START, ANY)
            done = run.command(key, recorded, self.services.clock.now_ms(), workflow_id)
            ready = await self.runner.start_beside(declaration, args, kwargs, workflow_id, done, held=held)
            if ready is not None:
                self.dispatch(ready)
            return workflow_id

        return await run.operation(START, perform, ANY)

    def open_transaction(self) -> Open | None:
        """A transaction that the caller has open, if an adapter can tell of one."""
        return open_transaction(self.services.adapters)

    def refuse_call_inside_transaction(self, declaration: Declaration) -> None:
        """AmbientTransactionError if the caller of a workflow has a transaction open."""
        joined = self.open_transaction()
        if joined is not None:
            raise refuse_call(declaration, joined)

    def dispatch(self, ready: Ready) -> None:
        """Execute in the background: a plain function on a thread, a coroutine on the loop."""
        if ready.run.asynchronous:
            self.loop.submit(lambda: self._background(ready))
        else:
            self.threads.submit(lambda: drive(self._background(ready)))

    async def _background(self, ready: Ready) -> None:
        try:
            await self.runner.execute(ready)
        except NotLaunchedError as error:
            log.info("%s", error)
        except (Exception, SystemExit) as error:
            # Recorded as the workflow's outcome, and told to whoever waits for it; perhaps nobody does.
            name = ready.run.declaration.name
            log.warning("workflow %r (%s) ended with %s", ready.run.workflow_id, name, type(error).__name__)

    def close(self, timeout_seconds: float) -> None:
        """Stop claiming; drain; hand back what is left; close. The lease is kept until the hand-back is done."""
        if self._takeover is not None:
            self._takeover.stop(CLAIM_SECONDS)
        active = self.services.active
        if len(active) and not drive(self._drained(timeout_seconds)):
            self._hand_back(active.runs())
        # From here on nobody waits for a database that is away: what it has not got goes on when the lease is over.
        self.connected.ledger.stop_waiting()
        if self._takeover is not None:
            self._takeover.close()
        for half in self.services.adapters.halves():
            if half.asynchronous:
                self.loop.run(half.close())
        self.loop.close()
        if self.executor is not None:
            self.executor.close()
        self.connected.close()
        # Threads that are done hand their connections back; those that are not run the user's code, and end with it.
        self.threads.close(0.0 if len(active) else RELEASE_SECONDS)
        for half in self.services.adapters.halves():
            if not half.asynchronous:
                drive(half.close())

    async def _drained(self, timeout_seconds: float) -> bool:
        return await self.services.clock.within(self.services.active.drained(), timeout_seconds)

    def _hand_back(self, runs: list[Run]) -> None:
        for run in runs:
            run.stop("the engine is shutting down")
        ids, executor_id = [run.workflow_id for run in runs], self.services.executor_id
        try:
            # One try, and not the ledger's many: a shutdown ends, wherever the database is.
            backend = self.services.ledger.backend
            count = backend.change(lambda session: queries.hand_back(session, executor_id, ids))
            log.warning("handed back %d workflows that had not ended at shutdown", count)
        except Exception as error:
            log.warning("could not hand back %d workflows (%s); they go on when the lease runs out", len(ids), error)
