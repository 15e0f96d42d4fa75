"""The program that is killed: a workflow of step, transaction, step, transaction, in a blocking and an awaited form.

Every transaction appends one row to ``effect`` and moves one unit between two balances; every step's body writes one
line to the journal. What a function returns is the token of its own row or line, so that a recorded output tells which
execution it came from.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any
from zlib import crc32

import durably
from durably import Durably, crashpoints, step, transaction, workflow
from durably.config import sqlite_path
from durably.errors import WaitTimeoutError, WorkflowNotFoundError
from durably.sql.gate import file_gate
from tests.crash import applications, journal, mutants
from tests.crash.applications import Application, AsyncApplication, Effect
from tests.crash.oracle import ACCOUNTS
from tests.crash.spec import DONE, STUCK, Pass, Spec

_spec: Spec
#: The ORM's part; of the two, the one that the process runs.
_application: Application
_async_application: AsyncApplication


def _effect() -> Effect:
    return Effect(
        workflow_id=durably.workflow_id() or "",
        step=durably.step_id() or 0,
        attempt=durably.attempt(),
        pid=os.getpid(),
        at=time.time_ns(),
    )


def _accounts() -> tuple[str, str]:
    """From where to where this workflow moves; always a source, then a sink, so that nobody waits in a circle."""
    place = crc32((durably.workflow_id() or "").encode()) % ACCOUNTS
    return f"source-{place}", f"sink-{place}"


def _note() -> str:
    """A step's body: say that it runs, and do what this process is to do there."""
    workflow_id, function_id = durably.workflow_id() or "", durably.step_id() or 0
    token = journal.write(_spec.log, "body", workflow_id, step=function_id, attempt=durably.attempt())
    if function_id == 1 and workflow_id == _spec.stop_in_step:
        _stop(in_transaction=False)
    if function_id == 1 and workflow_id == _spec.hold_in_step and _spec.release is not None:
        while not Path(_spec.release).exists():
            time.sleep(0.005)
    return token


def _stop(*, in_transaction: bool) -> None:
    """SIGSTOP this process, while no other thread of it is writing to an SQLite system database.

    SQLite's lock is the whole file's and outlasts the stop, so that no peer could do anything before the zombie wakes.
    The signal goes to this very thread: sent to the process, it would let this thread run on for a moment.
    """
    colocated = _spec.application_url.rpartition("/")[2] == _spec.system_url.rpartition("/")[2]
    if not _spec.system_url.startswith("sqlite") or (in_transaction and colocated):
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return
    gate = file_gate(sqlite_path(_spec.system_url))
    turn = gate.enter()
    if turn is not None:
        turn.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    gate.release()


# -- blocking ----------------------------------------------------------------------------------------------------


@step
def note() -> str:
    """Leave a line in the journal."""
    return _note()


def _move() -> str:
    effect = _effect()
    _application.move(effect, *_accounts())
    return effect.token


@transaction
def move() -> str:
    """Move one unit, at the database's own isolation level."""
    return _move()


@transaction(isolation_level="serializable")
def move_strictly() -> str:
    """The same, such that concurrent moves between the same accounts fail transiently."""
    return _move()


@workflow
def transfer(workflow_id: str) -> list[str]:
    """Step, transaction, step, transaction."""
    assert workflow_id == durably.workflow_id()
    return [note(), move(), note(), move_strictly()]


# -- awaited -----------------------------------------------------------------------------------------------------


@step
async def note_async() -> str:
    """Leave a line in the journal."""
    return _note()


async def _move_async() -> str:
    effect = _effect()
    await _async_application.move(effect, *_accounts())
    return effect.token


@transaction(adapter="awaited")
async def move_async() -> str:
    """Move one unit, at the database's own isolation level."""
    return await _move_async()


@transaction(adapter="awaited", isolation_level="serializable")
async def move_strictly_async() -> str:
    """The same, such that concurrent moves between the same accounts fail transiently."""
    return await _move_async()


@workflow
async def transfer_async(workflow_id: str) -> list[str]:
    """Step, transaction, step, transaction."""
    assert workflow_id == durably.workflow_id()
    return [await note_async(), await move_async(), await note_async(), await move_strictly_async()]


# -- the process -------------------------------------------------------------------------------------------------


def run(spec: Spec) -> int:
    """Be one process of a crash test; its exit code."""
    global _spec
    _spec = spec
    mutants.apply(spec.mutant)
    crashpoints.arm(_hook())
    orm = applications.module(spec.orm)
    if spec.asynchronous:
        return asyncio.run(_run_async(orm.awaited(spec.application_url)))
    return _run(orm.blocking(spec.application_url))


def _hook() -> Callable[[str], None] | None:
    """Kill or stop this process at the passes that are asked for."""
    if _spec.kill is None and _spec.stop is None:
        return None
    mutex = threading.Lock()
    passes: dict[str, int] = {}

    def hook(point: str) -> None:
        with mutex:
            passes[point] = passes.get(point, 0) + 1
            reached = Pass(point, passes[point])
        if reached == _spec.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if reached == _spec.stop:
            _stop(in_transaction=point.startswith("transaction."))

    return hook


def _engine(name: str, adapter: Any) -> Durably:
    return Durably(
        "crash",
        system_database_url=_spec.system_url,
        adapters={name: adapter},
        executes="none" if _spec.role == "leave" else "all",
        lease_seconds=_spec.lease_seconds,
    )


def _is_called(workflow_id: str) -> bool:
    return _spec.role == "work" and _spec.workflow_ids.index(workflow_id) % 2 == 0


def _told(workflow_id: str, value: list[str]) -> None:
    journal.write(_spec.log, "told", workflow_id, token=",".join(value))


def _run(opened: AbstractContextManager[Application]) -> int:
    global _application
    with opened as _application, _engine("default", _application.adapter):
        if _spec.role != "recover":
            shares = [_spec.workflow_ids[place :: _spec.threads] for place in range(_spec.threads)]
            threads = [threading.Thread(target=_start, args=(share,), daemon=True) for share in shares]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(_spec.wait_seconds)
        if _spec.role == "leave":
            return DONE
        return _wait_for_all()


def _start(workflow_ids: Sequence[str]) -> None:
    """Start every other workflow in the background, and call the others here."""
    for workflow_id in workflow_ids:
        with durably.workflow_options(workflow_id=workflow_id):
            if _is_called(workflow_id):
                _told(workflow_id, transfer(workflow_id))
            else:
                durably.start_workflow(transfer, workflow_id)
                journal.write(_spec.log, "accepted", workflow_id)


def _wait_for_all() -> int:
    deadline = time.monotonic() + _spec.wait_seconds
    for workflow_id in _spec.workflow_ids:
        try:
            left = max(deadline - time.monotonic(), 0.0)
            _told(workflow_id, durably.get_result(workflow_id, timeout_seconds=left, expect=list[str]))
        except WorkflowNotFoundError:
            if _spec.role != "recover":
                raise
        except WaitTimeoutError:
            return STUCK
    return DONE


async def _run_async(opened: AbstractAsyncContextManager[AsyncApplication]) -> int:
    global _async_application
    async with opened as _async_application, _engine("awaited", _async_application.adapter):
        if _spec.role != "recover":
            await asyncio.gather(*map(_start_async, _spec.workflow_ids))
        if _spec.role == "leave":
            return DONE
        return await _wait_for_all_async()


async def _start_async(workflow_id: str) -> None:
    with durably.workflow_options(workflow_id=workflow_id):
        if _is_called(workflow_id):
            _told(workflow_id, await transfer_async(workflow_id))
        else:
            await durably.aio.start_workflow(transfer_async, workflow_id)
            journal.write(_spec.log, "accepted", workflow_id)


async def _wait_for_all_async() -> int:
    deadline = time.monotonic() + _spec.wait_seconds
    for workflow_id in _spec.workflow_ids:
        try:
            left = max(deadline - time.monotonic(), 0.0)
            value: Any = await durably.aio.get_result(workflow_id, timeout_seconds=left, expect=list[str])
            _told(workflow_id, value)
        except WorkflowNotFoundError:
            if _spec.role != "recover":
                raise
        except WaitTimeoutError:
            return STUCK
    return DONE
