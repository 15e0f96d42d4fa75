"""Durable waits: when one is to end is written down, so that a crash does not lengthen it."""

from __future__ import annotations

from typing import Any

from durably import context
from durably.drive import Promise
from durably.errors import ConfigurationError
from durably.execution.calls import CallingRun
from durably.execution.run import Run
from durably.model import Checkpoint, CheckpointKey
from durably.serialization import TypeTable

#: What is decoded without being told of any class.
ANY = TypeTable.for_type(Any)
#: The end of a wait is written down once it has lasted this long (seconds): most end sooner, and need no row.
UNWRITTEN = 1.0
#: The longest wait: ten thousand days (seconds).
LONGEST = 864e6


def workflow_code() -> CallingRun | None:
    """The workflow whose own code runs here; None outside a workflow, and in the body of a step."""
    frame = context.frame()
    if frame is None or frame.body is not None or not isinstance(frame.run, CallingRun):
        return None
    return frame.run


def checked_seconds(seconds: Any, verb: str) -> float:
    """A length of time that can be waited for; ConfigurationError otherwise."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds <= LONGEST:
        raise ConfigurationError(f"{verb} cannot wait for {seconds!r} seconds; give a number up to {LONGEST:.0f}")
    return max(float(seconds), 0.0)


class Deadline:
    """The end of the wait at one place of a workflow; ``seconds`` None: it has no end."""

    def __init__(self, run: Run, key: CheckpointKey, name: str, seconds: float | None) -> None:
        self._run = run
        self._key = key
        self._name = name
        clock = run.services.clock
        recorded = run.history.deadline(key)
        self._written = recorded is not None or seconds is None
        if recorded is not None:
            seconds = (recorded - clock.now_ms()) / 1000
        self._end = clock.monotonic() + seconds if seconds is not None else None
        self._ends_at = recorded or clock.now_ms() + int((seconds or 0.0) * 1000)

    @property
    def passed(self) -> bool:
        """Whether the wait is over."""
        return self._end is not None and self._run.services.clock.monotonic() >= self._end

    async def wait(self, promise: Promise[Any]) -> None:
        """Wait for ``promise``, at most until the end. Parked when the run is stopped."""
        clock = self._run.services.clock
        left = None if self._end is None else self._end - clock.monotonic()
        if left is not None and not self._written and left > UNWRITTEN:
            if await self._run.wait(promise, UNWRITTEN):
                return
            self._write()
            left -= UNWRITTEN
        await self._run.wait(promise, left)

    def _write(self) -> None:
        """Write the end down, unwaited: if it is lost, the wait is as long as it took to be lost longer."""
        self._written = True
        checkpoint = Checkpoint(self._name, str(self._ends_at), None, "deadline")
        command = self._run.command(self._key.deadline(), checkpoint, self._run.services.clock.now_ms())
        self._run.services.ledger.note(command)


async def sleep(seconds: float) -> None:
    """Wait durably, in the code of a workflow; ConfigurationError elsewhere, where an ordinary sleep is as good."""
    seconds = checked_seconds(seconds, "sleep")
    run = workflow_code()
    if run is None:
        raise ConfigurationError(
            "durably.sleep is for the code of a workflow; in a step, and outside workflows, use time.sleep or "
            "asyncio.sleep"
        )
    name = "durably.sleep"
    key, clock = run.next_key(name), run.services.clock
    recorded = run.recorded(key, name)
    if recorded is None:
        await run.may_go_on()
        wake_at = clock.now_ms() + int(seconds * 1000)
        checkpoint = run.output_checkpoint(wake_at, key, name, ANY)
        began = clock.monotonic()
        await run.record(key, checkpoint, clock.now_ms())
        left = seconds - (clock.monotonic() - began)
    else:
        wake_at = run.replayed(recorded, key, name, ANY)
        left = (wake_at - clock.now_ms()) / 1000
    run.check()
    if left > 0:
        await run.wait(Promise[None](), left)
