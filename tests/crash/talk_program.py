"""Workflows that send, receive, set events, write streams, start children, wait and are managed; killed in between.

This is the blocking form, and what is the same in both; ``talk_program_async`` is the awaited one. See ``talk_plan``.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import durably
from durably import Durably, Message, crashpoints, step, workflow, workflow_options
from durably.errors import WaitTimeoutError, WorkflowCancelledError, WorkflowNotFoundError
from durably.ledger.ledger import Ledger
from tests.crash import journal, talk_mutants
from tests.crash.spec import DONE, STUCK, Pass, Spec
from tests.crash.talk_plan import OUTSIDE, TURNS, peer_of, role_of

_spec: Spec


def body() -> str:
    """What a step's body does: say in the journal that it runs; the token of that line."""
    workflow_id, function_id = durably.workflow_id() or "", durably.step_id() or 0
    return journal.write(_spec.log, "body", workflow_id, step=function_id, attempt=durably.attempt())


# -- the workflows -----------------------------------------------------------------------------------------------


@step
def note() -> str:
    """Leave a line in the journal."""
    return body()


@step
def shout(turn: int) -> str:
    """The same, and write from a body that may run again."""
    token = body()
    durably.set_event("shouted", turn)
    durably.write_stream("talk", ["step", turn])
    durably.write_stream("talk", ["step again", turn])
    return token


@workflow
def talker(workflow_id: str) -> list[Any]:
    """One of two that send to each other in turns; the second one hears first."""
    heard: list[Any] = []
    for turn in range(TURNS):
        if role_of(workflow_id) == "talk1":
            _hear(heard)
        _speak(workflow_id, turn)
        if role_of(workflow_id) == "talk0":
            _hear(heard)
        shout(turn)
    durably.close_stream("talk")
    return heard + [durably.recv("outside") for _ in range(OUTSIDE)]


def _speak(workflow_id: str, turn: int) -> None:
    peer = peer_of(workflow_id)
    durably.send(peer, [workflow_id, turn], topic="talk")
    durably.send_bulk([Message(peer, ["bulk", turn, number], "bulk") for number in range(2)])
    durably.set_event("turn", turn)
    durably.write_stream("talk", ["workflow", turn])


def _hear(heard: list[Any]) -> None:
    heard.append(durably.recv("talk"))
    heard += [durably.recv("bulk") for _ in range(2)]


@workflow
def child(number: int) -> list[Any]:
    """A token and the number."""
    return [note(), number]


@workflow
def family(workflow_id: str) -> list[Any]:
    """Starts children, calls them, waits for them."""
    turns: list[Any] = []
    for turn in range(TURNS):
        handles = [durably.start_workflow(child, number) for number in range(2)]
        called = child(turn)
        first = durably.wait_first(handles)
        turns.append([called, durably.wait_all(handles), first in handles])
    return turns


@workflow
def victim(number: int) -> list[Any]:
    """Waits to be cancelled, resumed, and told to go on."""
    token = note()
    durably.set_event("ready", number)
    return [token, durably.recv("go")]


@workflow
def control(workflow_id: str) -> list[Any]:
    """Cancels and resumes."""
    turns: list[Any] = []
    for turn in range(TURNS):
        handle = durably.start_workflow(victim, turn)
        ready = durably.get_event(handle.workflow_id, "ready")
        durably.cancel_workflow(handle.workflow_id)
        status = durably.get_workflow_status(handle.workflow_id).status
        durably.resume_workflow(handle.workflow_id)
        durably.send(handle.workflow_id, ["go", turn], topic="go")
        turns.append([ready, str(status), handle.get_result()])
    return turns


@workflow
def source(number: int) -> list[Any]:
    """What is forked."""
    token = note()
    durably.set_event("mark", number)
    durably.write_stream("s", number)
    durably.close_stream("s")
    return [token, number]


@workflow
def copies(workflow_id: str) -> list[Any]:
    """Forks, gives attributes, deletes."""
    turns: list[Any] = []
    for turn in range(TURNS):
        handle = durably.start_workflow(source, turn)
        value = handle.get_result()
        fork = durably.fork_workflow(handle.workflow_id, 4)
        durably.update_workflow_attributes(fork, {"turn": turn})
        durably.delete_workflow(handle.workflow_id)
        turns.append([fork, value, durably.get_result(fork)])
    return turns


@workflow
def sleeper(number: int) -> int:
    """Sleeps beyond its deadline."""
    durably.sleep(60)
    return number


@workflow
def late(workflow_id: str) -> list[Any]:
    """Children that reach their deadline."""
    turns: list[Any] = []
    for turn in range(TURNS):
        with workflow_options(timeout_seconds=0.03):
            handle = durably.start_workflow(sleeper, turn)
        try:
            turns.append(handle.get_result())
        except WorkflowCancelledError:
            turns.append("cancelled")
    return turns


@workflow
def notes(workflow_id: str) -> list[Any]:
    """Everything that is found out, and recorded as it was found."""
    handle = durably.start_workflow(child, 0)
    return [_noted(workflow_id, handle, turn) for turn in range(TURNS)]


def _noted(workflow_id: str, handle: durably.WorkflowHandle[list[Any]], turn: int) -> list[Any]:
    found: list[Any] = [durably.now().isoformat(), str(durably.uuid())]
    durably.sleep(0.002)
    found.append(durably.patch(f"patch-{turn}"))
    durably.set_event("n", turn)
    found += [durably.get_event(workflow_id, "n"), durably.get_all_events(workflow_id)]
    durably.write_stream("s", turn)
    found += [next(durably.read_stream(workflow_id, "s", offset=turn)), durably.recv("never", timeout_seconds=0)]
    try:
        durably.send("nobody", turn)
    except WorkflowNotFoundError:
        found.append("nobody")
    found += [handle.get_result(), durably.wait_first([handle]).workflow_id, durably.wait_all([handle])]
    return [*found, str(durably.get_workflow_status(handle.workflow_id).status)]


WORKFLOWS: dict[str, Callable[[str], list[Any]]] = {
    "talk0": talker,
    "talk1": talker,
    "family": family,
    "control": control,
    "copies": copies,
    "late": late,
    "notes": notes,
}


# -- the process -------------------------------------------------------------------------------------------------


def run(spec: Spec) -> int:
    """Be one process of a crash test; its exit code."""
    global _spec
    _spec = spec
    talk_mutants.apply(spec.mutant)
    if spec.kill is not None:
        crashpoints.arm(_hook(spec.kill))
        _name_checkpoints()
    if spec.asynchronous:
        from tests.crash import talk_program_async

        return asyncio.run(talk_program_async.work(spec, engine()))
    return _work()


def engine() -> Durably:
    """The engine of this process."""
    return Durably("talk", system_database_url=_spec.system_url, lease_seconds=_spec.lease_seconds)


_recording: contextvars.ContextVar[str] = contextvars.ContextVar("recording", default="")


def _name_checkpoints() -> None:
    """Have the hook know whose checkpoint it is: ``checkpoint.before`` is one point for many verbs."""
    for method in ("record", "record_unwaited"):
        setattr(Ledger, method, _naming(getattr(Ledger, method)))


def _naming(record: Callable[[Ledger, Any], Any]) -> Callable[[Ledger, Any], Any]:
    def named(self: Ledger, command: Any) -> Any:
        _recording.set(command.function_name.rpartition(".")[2].partition("-")[0])
        return record(self, command)

    return named


def _hook(kill: Pass) -> Callable[[str], None]:
    """SIGKILL this process at a pass. The checkpoints of one verb are ``checkpoint.before:sleep`` and the like."""
    mutex = threading.Lock()
    point, _, name = kill.point.partition(":")
    passes = 0

    def hook(reached: str) -> None:
        nonlocal passes
        if reached == point and (not name or _recording.get() == name):
            with mutex:
                passes += 1
                if passes == kill.nth:
                    os.kill(os.getpid(), signal.SIGKILL)

    return hook


def outside_messages() -> list[tuple[str, list[Any], str]]:
    """What is sent to the talkers from outside: to whom, what, and its idempotency key."""
    talkers = [one for one in _spec.workflow_ids if role_of(one).startswith("talk")]
    return [(one, ["outside", number], f"{number}") for number in range(OUTSIDE) for one in talkers]


def told(workflow_id: str) -> None:
    """Somebody outside was told that a workflow has ended."""
    journal.write(_spec.log, "told", workflow_id)


def _work() -> int:
    with engine() as app:
        for workflow_id in _spec.workflow_ids:
            with workflow_options(workflow_id=workflow_id):
                durably.start_workflow(WORKFLOWS[role_of(workflow_id)], workflow_id)
            journal.write(_spec.log, "accepted", workflow_id)
        for destination_id, message, key in outside_messages():
            durably.send(destination_id, message, topic="outside", idempotency_key=key)
        deadline = time.monotonic() + _spec.wait_seconds
        for workflow_id in _spec.workflow_ids:
            try:
                durably.get_result(workflow_id, timeout_seconds=max(deadline - time.monotonic(), 0.0))
            except WaitTimeoutError:
                app.shutdown(timeout_seconds=0)
                return STUCK
            told(workflow_id)
    return DONE
