"""Messages: sent to a workflow by its id, received by it in order, each consumed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from durably import context
from durably.errors import ConfigurationError, WorkflowNotFoundError
from durably.execution.calls import CallingRun
from durably.execution.waits import ANY, Deadline, checked_seconds, workflow_code
from durably.ledger import talk
from durably.ledger.commands import ReceiveMessage, SendMessage, Sent
from durably.ledger.news import Kind
from durably.messaging.connection import (
    Connection,
    dumped,
    expected,
    refuse_in_transaction,
    required_workflow,
)
from durably.model import Checkpoint, CheckpointKey
from durably.names import checked_id, checked_name
from durably.serialization import Payload

SEND, SEND_BULK, RECV = "durably.send", "durably.send_bulk", "durably.recv"


@dataclass(frozen=True)
class Message:
    """One message of ``send_bulk``. ``idempotency_key``: the destination gets one message with this key, ever."""

    destination_id: str
    message: Any
    topic: str | None = None
    idempotency_key: str | None = None


async def send(connection: Connection, message: Message) -> None:
    """Send one message. WorkflowNotFoundError if there is no such workflow."""
    refuse_in_transaction("send")
    # Before a place is taken, so that what cannot be stored leaves no gap in the history.
    command = _command(connection, message)
    run = workflow_code()
    if run is not None:
        return await run.operation(SEND, lambda key: _send_recorded(connection, run, key, command), ANY)
    answer = await connection.ledger.send(command._replace(message_id=command.message_id or _new_id()))
    if answer is Sent.UNKNOWN:
        raise _unknown([message.destination_id])
    return None


def _new_id() -> str:
    """Within a step's body the same in each attempt; elsewhere a new one each time."""
    frame = context.frame()
    if frame is None or frame.body is None or frame.body.counter is None:
        return str(uuid4())
    return f"{frame.body.key}:{next(frame.body.counter)}"


def _command(connection: Connection, message: Message) -> SendMessage:
    """The command that sends a message; without an id, if it has no idempotency key."""
    destination_id = checked_id(message.destination_id, "send")
    payload = dumped(connection, message.message, f"the message to workflow {destination_id!r}")
    message_id = ""
    if message.idempotency_key is not None:
        message_id = checked_name(message.idempotency_key, "the idempotency_key of a message")
        if not message_id:
            raise ConfigurationError("the idempotency_key of a message is empty")
    return SendMessage(destination_id, message_id, _topic(message.topic), payload.text, payload.serialization)


def _topic(topic: str | None) -> str:
    return checked_name(topic if topic is not None else "", "the topic of a message")


async def _send_recorded(connection: Connection, run: CallingRun, key: CheckpointKey, command: SendMessage) -> None:
    started_at = connection.clock.now_ms()
    answer = await connection.ledger.send(
        command._replace(
            message_id=command.message_id or run.step_key(key),
            sender=run.workflow_id,
            branch=key.branch,
            function_id=key.function_id,
            executor_id=run.fence.executor_id,
            attempt=run.fence.attempt,
            function_name=SEND,
            started_at=started_at,
        )
    )
    if answer is Sent.UNKNOWN:
        await _record_unknown(run, key, SEND, [command.workflow_id], started_at)
    if answer is Sent.FENCED:
        run.stop("another executor took it over")
        run.check()
    if answer is Sent.CANCELLED:
        run.stop("it was cancelled")


async def _record_unknown(run: CallingRun, key: CheckpointKey, name: str, ids: list[str], started_at: int) -> None:
    error = _unknown(ids)
    checkpoint, _ = run.error_checkpoint(error, key, name)
    await run.record(key, checkpoint, started_at)
    raise error


def _unknown(workflow_ids: Sequence[str]) -> WorkflowNotFoundError:
    names = ", ".join(map(repr, workflow_ids))
    return WorkflowNotFoundError(
        f"there is no workflow with the id {names} to send to; start it first, or send from the workflow that knows it",
        workflow_id=workflow_ids[0],
    )


# -- several at once ---------------------------------------------------------------------------------------------


async def send_bulk(connection: Connection, messages: Sequence[Message]) -> None:
    """Send all of them, or none: WorkflowNotFoundError names the destinations that are not there."""
    refuse_in_transaction("send_bulk")
    commands = _commands(connection, messages)
    run = workflow_code()
    if run is None:
        commands = [one._replace(message_id=one.message_id or _new_id()) for one in commands]
        missing = await connection.ledger.change(lambda session: talk.send_all(session, commands))
        if missing:
            raise _unknown(missing)
        _tell(connection, commands)
        return
    await run.operation(SEND_BULK, lambda key: _send_all_recorded(connection, run, key, commands), ANY)


def _commands(connection: Connection, messages: Sequence[Message]) -> list[SendMessage]:
    commands = [_command(connection, message) for message in messages]
    named = [(one.workflow_id, one.message_id) for one in commands if one.message_id]
    if len(set(named)) < len(named):
        raise ConfigurationError("send_bulk got two messages with one idempotency_key to one workflow")
    return commands


async def _send_all_recorded(
    connection: Connection, run: CallingRun, key: CheckpointKey, nameless: Sequence[SendMessage]
) -> None:
    commands = [
        one._replace(message_id=one.message_id or f"{run.step_key(key)}:{number}")
        for number, one in enumerate(nameless)
    ]
    started_at = connection.clock.now_ms()
    done = run.command(key, Checkpoint(SEND_BULK, None, None, ""), started_at)
    missing = await run.change(
        "send_bulk", lambda session: talk.send_all(session, commands), lambda missing: None if missing else done
    )
    if missing:
        await _record_unknown(run, key, SEND_BULK, missing, started_at)
    _tell(connection, commands)


def _tell(connection: Connection, commands: Sequence[SendMessage]) -> None:
    for workflow_id in {command.workflow_id for command in commands}:
        connection.ledger.news.happened(Kind.MESSAGE, workflow_id)


# -- receiving ---------------------------------------------------------------------------------------------------


async def recv(connection: Connection, topic: str | None, timeout_seconds: float | None, expect: Any) -> Any:
    """The oldest message of the topic that this workflow has not had; None if none comes in time."""
    run = required_workflow("recv")
    seconds = None if timeout_seconds is None else checked_seconds(timeout_seconds, "recv")
    types, name = expected(expect), _topic(topic)

    async def perform(key: CheckpointKey) -> Any:
        payload = await _receive(connection, run, key, name, seconds)
        if payload is None:
            return None
        return connection.serialization.load(payload, types, what=run.what("the message", key, RECV))

    return await run.operation(RECV, perform, types)


async def _receive(
    connection: Connection, run: CallingRun, key: CheckpointKey, topic: str, seconds: float | None
) -> Payload | None:
    started_at = connection.clock.now_ms()
    command = ReceiveMessage(run.workflow_id, *key, *run.fence, RECV, topic, started_at)
    deadline = Deadline(run, key, RECV, seconds)
    with connection.ledger.news.watch(Kind.MESSAGE, run.workflow_id, topic) as watch:
        while True:
            news = watch.fresh()
            answer = await connection.ledger.receive(command)
            if answer.fenced:
                run.stop("it was cancelled, or another executor took it over")
                run.check()
            if answer.message is not None:
                return Payload(answer.message, answer.serialization or "")
            if deadline.passed:
                await run.record(key, Checkpoint(RECV, None, None, ""), started_at)
                return None
            await deadline.wait(news)
