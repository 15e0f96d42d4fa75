"""An outcome: written once, by whoever holds the workflow, while it is PENDING."""

from __future__ import annotations

from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.model import Outcome, Status
from tests.ledger.commands import ALICE, BOB, claimant, outcome, start
from tests.ledger.test_checkpoints import cancel


def found(backend: Backend, *workflow_ids: str) -> dict[str, Outcome | None]:
    return backend.read(lambda session: queries.outcomes(session, workflow_ids or ["w"]))


def test_a_workflow_that_runs_has_none_and_one_that_is_not_there_is_not_found(backend: Backend) -> None:
    backend.write([start("w")])
    assert found(backend, "w", "nobody") == {"w": None}


def test_an_output_and_an_error_are_written(backend: Backend) -> None:
    backend.write([start("w"), start("v")])
    error = outcome("v", status="ERROR", output=None, error='{"type":"E"}')
    assert backend.write([outcome("w", output='"x"'), error]) == [True, True]
    assert found(backend, "w", "v") == {
        "w": Outcome(Status.SUCCESS, '"x"', None, "json"),
        "v": Outcome(Status.ERROR, None, '{"type":"E"}', "json"),
    }
    row = backend.read(lambda session: queries.statuses(session, ["w"]))["w"]
    assert row.completed_at is not None
    assert row.completed_at >= row.created_at


def test_the_same_outcome_sent_again_is_still_ours(backend: Backend) -> None:
    backend.write([start("w")])
    assert backend.write([outcome("w")]) == [True]
    assert backend.write([outcome("w")]) == [True]
    assert backend.write([outcome("w"), outcome("w")]) == [True, True]


def test_a_second_one_of_another_kind_is_refused_and_changes_nothing(backend: Backend) -> None:
    backend.write([start("w")])
    backend.write([outcome("w", output='"kept"')])
    assert backend.write([outcome("w", status="ERROR", output=None, error="{}")]) == [False]
    assert found(backend)["w"] == Outcome(Status.SUCCESS, '"kept"', None, "json")


def test_who_does_not_hold_the_workflow_is_refused(backend: Backend) -> None:
    backend.write([start("w")])
    assert backend.write([outcome("w", executor=BOB)]) == [False]
    assert backend.write([outcome("w", attempt=2)]) == [False]
    assert backend.write([outcome("nobody")]) == [False]
    assert found(backend) == {"w": None}


def test_after_another_has_ended_it_the_late_one_is_refused(backend: Backend) -> None:
    backend.write([start("w")])
    backend.change(queries.claim_lost_by(claimant(BOB), ALICE, 10))
    assert backend.write([outcome("w", executor=BOB, attempt=2, output='"bob"')]) == [True]
    assert backend.write([outcome("w", output='"alice"')]) == [False]
    assert found(backend)["w"] == Outcome(Status.SUCCESS, '"bob"', None, "json")


def test_a_cancelled_workflow_has_its_outcome_already(backend: Backend) -> None:
    backend.write([start("w")])
    backend.change(cancel)
    assert backend.write([outcome("w")]) == [False]
    assert found(backend) == {"w": Outcome(Status.CANCELLED, None, None, "")}


def test_one_that_was_handed_back_is_not_ended_by_its_former_holder(backend: Backend) -> None:
    backend.write([start("w")])
    backend.change(lambda session: queries.hand_back(session, ALICE, ["w"]))
    assert backend.write([outcome("w")]) == [False]
    assert found(backend) == {"w": None}
