"""A checkpoint: written by whoever holds the workflow, once, and safe to send again."""

from __future__ import annotations

import pytest

from durably.ledger import queries
from durably.ledger.backend import Backend, Session
from durably.ledger.commands import Recorded
from durably.model import Checkpoint, CheckpointKey
from tests.ledger.commands import ALICE, BOB, checkpoint, claimant, outcome, start


def history(backend: Backend, workflow_id: str = "w") -> dict[CheckpointKey, Checkpoint]:
    return backend.read(lambda session: queries.history(session, [workflow_id]))[workflow_id]


def cancel(session: Session) -> None:
    session.execute("UPDATE {t}workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = 'w'")


@pytest.fixture(autouse=True)
def started(backend: Backend) -> None:
    backend.write([start("w")])


def test_a_checkpoint_is_recorded_and_read_back(backend: Backend) -> None:
    failed = checkpoint("w", 2, output=None, error='{"type":"E"}', branch="0", name="refund")
    assert backend.write([checkpoint("w", 1, output='"x"'), failed]) == [Recorded.RECORDED] * 2
    assert history(backend) == {
        CheckpointKey("", 1): Checkpoint("charge", '"x"', None, "json"),
        CheckpointKey("0", 2): Checkpoint("refund", None, '{"type":"E"}', "json"),
    }
    assert backend.read(lambda session: queries.checkpoint(session, "w", CheckpointKey("0", 2))) is not None
    assert backend.read(lambda session: queries.checkpoint(session, "w", CheckpointKey("1", 2))) is None


def test_the_same_checkpoint_sent_again_is_recorded_once(backend: Backend) -> None:
    assert backend.write([checkpoint("w")]) == [Recorded.RECORDED]
    assert backend.write([checkpoint("w")]) == [Recorded.RECORDED]
    assert backend.write([checkpoint("w"), checkpoint("w")]) == [Recorded.RECORDED] * 2
    assert len(history(backend)) == 1


def test_the_first_one_at_a_place_stays(backend: Backend) -> None:
    backend.write([checkpoint("w", output="1")])
    backend.write([checkpoint("w", output="2")])
    assert history(backend)[CheckpointKey("", 1)].output == "1"


@pytest.mark.parametrize(
    ("executor", "attempt"), [(BOB, 1), (ALICE, 2), (ALICE, 0)], ids=["another", "a later claim", "an earlier claim"]
)
def test_who_does_not_hold_the_workflow_is_fenced(backend: Backend, executor: str, attempt: int) -> None:
    late = checkpoint("w", executor=executor, attempt=attempt)
    assert backend.write([late]) == [Recorded.FENCED]
    assert history(backend) == {}


def test_a_checkpoint_of_no_workflow_is_fenced(backend: Backend) -> None:
    assert backend.write([checkpoint("nobody")]) == [Recorded.FENCED]


def test_the_fenced_do_not_disturb_the_others_of_their_batch(backend: Backend) -> None:
    backend.write([start("v", executor=BOB)])
    batch = [checkpoint("w", 1), checkpoint("v", 1), checkpoint("v", 2, executor=BOB), checkpoint("w", 2)]
    assert backend.write(batch) == [Recorded.RECORDED, Recorded.FENCED, Recorded.RECORDED, Recorded.RECORDED]
    assert set(history(backend, "v")) == {CheckpointKey("", 2)}


def test_what_was_recorded_before_a_claim_still_fences_the_late_one(backend: Backend) -> None:
    backend.write([checkpoint("w")])
    backend.change(queries.claim_lost_by(claimant(BOB), ALICE, 10))
    assert backend.write([checkpoint("w"), checkpoint("w", 2)]) == [Recorded.FENCED] * 2


def test_a_cancelled_workflow_records_what_was_done_and_says_so(backend: Backend) -> None:
    backend.change(cancel)
    assert backend.write([checkpoint("w")]) == [Recorded.CANCELLED]
    assert len(history(backend)) == 1
    assert backend.write([checkpoint("w")]) == [Recorded.CANCELLED], "and so for the same one sent again"


def test_an_echo_that_comes_after_the_outcome_is_still_recorded(backend: Backend) -> None:
    backend.write([outcome("w")])
    assert backend.write([checkpoint("w")]) == [Recorded.RECORDED]
    assert len(history(backend)) == 1


def test_a_workflow_that_was_handed_back_is_nobodys(backend: Backend) -> None:
    backend.change(lambda session: queries.hand_back(session, ALICE, ["w"]))
    assert backend.write([checkpoint("w")]) == [Recorded.FENCED]
