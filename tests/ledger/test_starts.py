"""The start of a workflow: written once for each workflow id, and safe to send again."""

from __future__ import annotations

import pytest

from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.commands import Command, Started
from durably.model import Status
from tests.ledger.commands import ALICE, checkpoint, outcome, start


def test_a_new_id_is_created_with_its_inputs(backend: Backend) -> None:
    assert backend.write([start("w", inputs='{"a":1}', version="v1")]) == [Started(True)]
    [claimed] = backend.read(lambda session: queries.claimed_inputs(session, ["w"], ALICE))
    assert claimed.inputs == '{"a":1}'
    row = claimed.status
    assert (row.status, row.attempt, row.recovery_attempts) == (Status.PENDING, 1, 0)
    assert (row.name, row.application_name, row.application_version) == ("order", "shop", "v1")
    assert row.created_at > 1_700_000_000_000
    assert row.completed_at is None


def test_a_start_without_an_executor_is_left_for_any(backend: Backend) -> None:
    backend.write([start("w", executor=None)])
    row = backend.read(lambda session: queries.statuses(session, ["w"]))["w"]
    assert (row.status, row.executor_id, row.attempt) == (Status.ENQUEUED, None, 0)


def test_the_same_start_sent_again_says_created_again(backend: Backend) -> None:
    command = start("w")
    backend.write([command])
    [again] = backend.write([command])
    assert isinstance(again, Started)
    assert again.created


def test_the_same_start_sent_again_after_the_workflow_ended_says_created_again(backend: Backend) -> None:
    command = start("w")
    backend.write([command])
    backend.write([outcome("w")])
    [again] = backend.write([command])
    assert isinstance(again, Started)
    assert again.created
    assert again.existing is not None
    assert again.existing.status is Status.SUCCESS


def test_a_taken_id_gets_the_row_that_is_there_and_changes_nothing(backend: Backend) -> None:
    backend.write([start("w", run_id="first", inputs="[1]")])
    [second] = backend.write([start("w", run_id="second", name="other", inputs="[2]")])
    assert isinstance(second, Started)
    assert not second.created
    assert second.existing is not None
    assert (second.existing.run_id, second.existing.name) == ("first", "order")
    [claimed] = backend.read(lambda session: queries.claimed_inputs(session, ["w"], ALICE))
    assert claimed.inputs == "[1]"


@pytest.mark.parametrize("others", [0, 3])
def test_two_starts_of_one_id_in_one_batch_have_one_winner(backend: Backend, others: int) -> None:
    first, second = start("w", inputs="[1]"), start("w", inputs="[2]")
    rest = [start(f"v{number}") for number in range(others)]
    answers = backend.write([first, *rest, second])
    created = [isinstance(answer, Started) and answer.created for answer in answers]
    assert created == [True, *[True] * others, False]
    [claimed] = backend.read(lambda session: queries.claimed_inputs(session, ["w"], ALICE))
    assert (claimed.status.run_id, claimed.inputs) == (first.run_id, "[1]")


def test_a_start_its_checkpoint_and_its_outcome_fit_in_one_batch_in_any_order(backend: Backend) -> None:
    begun = start("w")
    batch: list[Command] = [outcome("w"), checkpoint("w"), begun]
    first = backend.write(batch)
    assert first[0] is True
    assert first[2] == Started(True)
    again = backend.write(batch)
    assert (again[0], again[1]) == (first[0], first[1]), "the same batch sent again gets the same answers"
    assert isinstance(again[2], Started)
    assert again[2].created
