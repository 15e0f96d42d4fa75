"""What cannot be anybody's id is one clear error from every verb, and harms nobody else who waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably import Client, ConfigurationError, Durably, WorkflowQuery, workflow

SECONDS = 20.0
#: NUL is in no text of PostgreSQL's, and a lone surrogate in no UTF-8.
BAD = ["a\0b", "\ud800", 17, None, b"w"]

Verb = Callable[[Client, Any], Any]
VERBS: dict[str, Verb] = {
    "send": lambda client, bad: client.send(bad, 1),
    "get_event": lambda client, bad: client.get_event(bad, "key", timeout_seconds=0),
    "get_all_events": lambda client, bad: client.get_all_events(bad),
    "read_stream": lambda client, bad: list(client.read_stream(bad, "key")),
    "cancel_workflow": lambda client, bad: client.cancel_workflow(bad),
    "cancel_workflows": lambda client, bad: client.cancel_workflows(["w", bad]),
    "resume_workflow": lambda client, bad: client.resume_workflow(bad),
    "resume_workflows": lambda client, bad: client.resume_workflows(["w", bad]),
    "fork_workflow": lambda client, bad: client.fork_workflow(bad),
    "delete_workflow": lambda client, bad: client.delete_workflow(bad),
    "delete_workflows": lambda client, bad: client.delete_workflows(["w", bad]),
    "update_workflow_attributes": lambda client, bad: client.update_workflow_attributes(bad, {"a": 1}),
    "get_result": lambda client, bad: client.get_result(bad, timeout_seconds=SECONDS),
    "retrieve_workflow": lambda client, bad: client.retrieve_workflow(bad),
    "get_workflow_status": lambda client, bad: client.get_workflow_status(bad),
    "list_workflow_steps": lambda client, bad: client.list_workflow_steps(bad),
    "list_workflows, ids": lambda client, bad: client.list_workflows(WorkflowQuery(workflow_ids=["w", bad])),
    "list_workflows, names": lambda client, bad: client.list_workflows(WorkflowQuery(names=[bad])),
    "count_workflows, users": lambda client, bad: client.count_workflows(WorkflowQuery(users=[bad])),
}


@workflow
def answering() -> int | None:
    """Returns what it is sent."""
    return durably.recv(timeout_seconds=SECONDS, expect=int)


@pytest.mark.parametrize("verb", VERBS)
def test_an_id_that_no_database_holds(system_url: str, verb: str) -> None:
    with Durably("managed", system_database_url=system_url), Client(system_url, name="managed") as client:
        with durably.workflow_options(workflow_id="w"):
            handle = durably.start_workflow(answering)
        for bad in BAD:
            with pytest.raises(ConfigurationError, match="NUL"):
                VERBS[verb](client, bad)
        client.send("w", 5)
        assert client.get_result("w", timeout_seconds=SECONDS) == 5
        assert handle.get_result(timeout_seconds=SECONDS) == 5


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_prefix_and_attributes_that_no_database_holds(system_url: str, text: str) -> None:
    with Durably("managed", system_database_url=system_url), Client(system_url, name="managed") as client:
        for query in (
            WorkflowQuery(workflow_id_prefix=text),
            WorkflowQuery(after=f"1/{text}"),
            WorkflowQuery(attributes={"a": text}),
            WorkflowQuery(attributes={text: 1}),
        ):
            with pytest.raises(ConfigurationError):
                client.list_workflows(query)
        with pytest.raises(ConfigurationError), durably.workflow_options(attributes={"a": text}):
            durably.start_workflow(answering)
        assert client.count_workflows() == {(): 0}
