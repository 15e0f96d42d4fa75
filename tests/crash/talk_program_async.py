"""The same workflows as in ``talk_program``, awaited."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from durably import Durably, Message, aio, step, workflow, workflow_options
from durably.errors import WaitTimeoutError, WorkflowCancelledError, WorkflowNotFoundError
from tests.crash import journal
from tests.crash.spec import DONE, STUCK, Spec
from tests.crash.talk_plan import ARMS, OUTSIDE, TURNS, peer_of, role_of
from tests.crash.talk_program import body, outside_messages, told


@step
async def note() -> str:
    """Leave a line in the journal."""
    return body()


@step
async def shout(turn: int) -> str:
    """The same, and write from a body that may run again."""
    token = body()
    await aio.set_event("shouted", turn)
    await aio.write_stream("talk", ["step", turn])
    await aio.write_stream("talk", ["step again", turn])
    return token


@workflow
async def talker(workflow_id: str) -> list[Any]:
    """One of two that send to each other in turns; the second one hears first."""
    heard: list[Any] = []
    for turn in range(TURNS):
        if role_of(workflow_id) == "talk1":
            await _hear(heard)
        await _speak(workflow_id, turn)
        if role_of(workflow_id) == "talk0":
            await _hear(heard)
        await shout(turn)
    await aio.close_stream("talk")
    return heard + [await aio.recv("outside") for _ in range(OUTSIDE)]


async def _speak(workflow_id: str, turn: int) -> None:
    peer = peer_of(workflow_id)
    await aio.send(peer, [workflow_id, turn], topic="talk")
    await aio.send_bulk([Message(peer, ["bulk", turn, number], "bulk") for number in range(2)])
    await aio.set_event("turn", turn)
    await aio.write_stream("talk", ["workflow", turn])


async def _hear(heard: list[Any]) -> None:
    heard.append(await aio.recv("talk"))
    heard += [await aio.recv("bulk") for _ in range(2)]


@workflow
async def child(number: int) -> list[Any]:
    """A token and the number."""
    return [await note(), number]


@workflow
async def family(workflow_id: str) -> list[Any]:
    """Starts children, calls them, waits for them."""
    turns: list[Any] = []
    for turn in range(TURNS):
        handles = [await aio.start_workflow(child, number) for number in range(2)]
        called = await child(turn)
        first = await aio.wait_first(handles)
        turns.append([called, await aio.wait_all(handles), first in handles])
    return turns


@workflow
async def victim(number: int) -> list[Any]:
    """Waits to be cancelled, resumed, and told to go on."""
    token = await note()
    await aio.set_event("ready", number)
    return [token, await aio.recv("go")]


@workflow
async def control(workflow_id: str) -> list[Any]:
    """Cancels and resumes."""
    turns: list[Any] = []
    for turn in range(TURNS):
        handle = await aio.start_workflow(victim, turn)
        ready = await aio.get_event(handle.workflow_id, "ready")
        await aio.cancel_workflow(handle.workflow_id)
        status = (await aio.get_workflow_status(handle.workflow_id)).status
        await aio.resume_workflow(handle.workflow_id)
        await aio.send(handle.workflow_id, ["go", turn], topic="go")
        turns.append([ready, str(status), await handle.get_result()])
    return turns


@workflow
async def source(number: int) -> list[Any]:
    """What is forked."""
    token = await note()
    await aio.set_event("mark", number)
    await aio.write_stream("s", number)
    await aio.close_stream("s")
    return [token, number]


@workflow
async def copies(workflow_id: str) -> list[Any]:
    """Forks, gives attributes, deletes."""
    turns: list[Any] = []
    for turn in range(TURNS):
        handle = await aio.start_workflow(source, turn)
        value = await handle.get_result()
        fork = await aio.fork_workflow(handle.workflow_id, 4)
        await aio.update_workflow_attributes(fork, {"turn": turn})
        await aio.delete_workflow(handle.workflow_id)
        turns.append([fork, value, await aio.get_result(fork)])
    return turns


@workflow
async def sleeper(number: int) -> int:
    """Sleeps beyond its deadline."""
    await aio.sleep(60)
    return number


@workflow
async def late(workflow_id: str) -> list[Any]:
    """Children that reach their deadline."""
    turns: list[Any] = []
    for turn in range(TURNS):
        with workflow_options(timeout_seconds=0.03):
            handle = await aio.start_workflow(sleeper, turn)
        try:
            turns.append(await handle.get_result())
        except WorkflowCancelledError:
            turns.append("cancelled")
    return turns


@workflow
async def notes(workflow_id: str) -> list[Any]:
    """Everything that is found out, and recorded as it was found."""
    handle = await aio.start_workflow(child, 0)
    return [await _noted(workflow_id, handle, turn) for turn in range(TURNS)]


async def _noted(workflow_id: str, handle: aio.WorkflowHandle[list[Any]], turn: int) -> list[Any]:
    found: list[Any] = [(await aio.now()).isoformat(), str(await aio.uuid())]
    await aio.sleep(0.002)
    found.append(await aio.patch(f"patch-{turn}"))
    await aio.set_event("n", turn)
    found += [await aio.get_event(workflow_id, "n"), await aio.get_all_events(workflow_id)]
    await aio.write_stream("s", turn)
    stream = aio.read_stream(workflow_id, "s", offset=turn)
    found += [await stream.__anext__(), await aio.recv("never", timeout_seconds=0)]
    try:
        await aio.send("nobody", turn)
    except WorkflowNotFoundError:
        found.append("nobody")
    found += [await handle.get_result(), (await aio.wait_first([handle])).workflow_id, await aio.wait_all([handle])]
    return [*found, str((await aio.get_workflow_status(handle.workflow_id)).status)]


@workflow
async def arms(workflow_id: str) -> list[Any]:
    """Does several things side by side."""
    return [await aio.gather(*(_arm(turn, number) for number in range(ARMS))) for turn in range(TURNS)]


async def _arm(turn: int, number: int) -> list[Any]:
    token = await note()
    await aio.write_stream(f"arm{number}", turn)
    await aio.sleep(0.001)
    return [token, await child(turn)]


WORKFLOWS: dict[str, Callable[[str], Coroutine[Any, Any, list[Any]]]] = {
    "talk0": talker,
    "talk1": talker,
    "family": family,
    "control": control,
    "copies": copies,
    "late": late,
    "notes": notes,
    "arms": arms,
}


async def work(spec: Spec, engine: Durably) -> int:
    """Be one process of a crash test; its exit code."""
    async with engine:
        for workflow_id in spec.workflow_ids:
            with workflow_options(workflow_id=workflow_id):
                await aio.start_workflow(WORKFLOWS[role_of(workflow_id)], workflow_id)
            journal.write(spec.log, "accepted", workflow_id)
        for destination_id, message, key in outside_messages():
            await aio.send(destination_id, message, topic="outside", idempotency_key=key)
        deadline = time.monotonic() + spec.wait_seconds
        for workflow_id in spec.workflow_ids:
            try:
                await aio.get_result(workflow_id, timeout_seconds=max(deadline - time.monotonic(), 0.0))
            except WaitTimeoutError:
                return STUCK
            told(workflow_id)
    return DONE
