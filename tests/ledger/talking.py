"""Commands of messages, events and streams to try the ledger with, each with defaults."""

from __future__ import annotations

from durably.ledger.commands import ReceiveMessage, SendMessage, SetEvent, WriteStream
from tests.ledger.commands import ALICE


def message(
    workflow_id: str,
    message_id: str,
    text: str | None = None,
    *,
    topic: str = "",
    sender: str | None = None,
    function_id: int = 1,
    executor: str = ALICE,
    attempt: int = 1,
) -> SendMessage:
    """A message; with a ``sender``, its checkpoint as well."""
    plain = SendMessage(workflow_id, message_id, topic, text if text is not None else f'"{message_id}"', "json")
    if sender is None:
        return plain
    return plain._replace(
        sender=sender,
        function_id=function_id,
        executor_id=executor,
        attempt=attempt,
        function_name="durably.send",
        started_at=1_700_000_000_000,
    )


def receive(
    workflow_id: str,
    function_id: int = 1,
    *,
    topic: str = "",
    branch: str = "",
    executor: str = ALICE,
    attempt: int = 1,
) -> ReceiveMessage:
    return ReceiveMessage(workflow_id, branch, function_id, executor, attempt, "durably.recv", topic, 1_700_000_000_000)


def event(
    workflow_id: str, key: str, value: str = "1", *, function_id: int = 1, executor: str = ALICE, attempt: int = 1
) -> SetEvent:
    return SetEvent(workflow_id, "", function_id, executor, attempt, key, value, "json")


def stream(
    workflow_id: str,
    key: str,
    value: str | None = "1",
    *,
    function_id: int = 1,
    sequence: int = 0,
    branch: str = "",
    executor: str = ALICE,
    attempt: int = 1,
) -> WriteStream:
    return WriteStream(workflow_id, branch, function_id, sequence, executor, attempt, key, value, "json")
