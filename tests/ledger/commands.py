"""Commands and claimants to try the ledger with: plain values, each with a default."""

from __future__ import annotations

import itertools

from durably.ledger.commands import RecordCheckpoint, RecordOutcome, StartWorkflow
from durably.ledger.queries import Claimant

ALICE, BOB = "alice", "bob"
_numbers = itertools.count(1)


def start(
    workflow_id: str,
    *,
    run_id: str | None = None,
    executor: str | None = ALICE,
    name: str = "order",
    inputs: str = "[]",
    application: str = "shop",
    version: str | None = None,
) -> StartWorkflow:
    """The start of a workflow, held by ``executor``, or left for any if that is None."""
    return StartWorkflow(
        workflow_id=workflow_id,
        run_id=run_id or f"run-{next(_numbers)}",
        status="PENDING" if executor else "ENQUEUED",
        name=name,
        class_name=None,
        config_name=None,
        application_name=application,
        application_version=version,
        executor_id=executor,
        attempt=1 if executor else 0,
        parent_workflow_id=None,
        timeout_ms=None,
        deadline_ms=None,
        inherits_deadline=False,
        attributes=None,
        inputs=inputs,
        serialization="json",
    )


def checkpoint(
    workflow_id: str,
    function_id: int = 1,
    *,
    executor: str = ALICE,
    attempt: int = 1,
    output: str | None = "1",
    error: str | None = None,
    branch: str = "",
    name: str = "charge",
) -> RecordCheckpoint:
    return RecordCheckpoint(
        workflow_id, branch, function_id, executor, attempt, name, output, error, "json", None, 1_700_000_000_000
    )


def outcome(
    workflow_id: str,
    *,
    executor: str = ALICE,
    attempt: int = 1,
    status: str = "SUCCESS",
    output: str | None = "1",
    error: str | None = None,
) -> RecordOutcome:
    return RecordOutcome(workflow_id, executor, attempt, status, output, error, "json")


def claimant(executor: str, *names: str, application: str = "shop", version: str | None = None) -> Claimant:
    return Claimant(application, executor, version, names or ("order",))
