"""Claims: each workflow goes to one claimant that can run it, oldest first, and every claim is counted."""

from __future__ import annotations

from functools import partial

import pytest

from durably.adapter import Parameter
from durably.ledger import queries
from durably.ledger.backend import Backend, Session
from durably.ledger.commands import Recorded
from durably.ledger.postgres import PostgresBackend
from durably.ledger.queries import Claimed
from durably.model import Checkpoint, CheckpointKey, Fence, Status, WorkflowStatus
from durably.sql.completion import Guard, Place, guard_begin, record_fenced
from durably.sql.dialect import POSTGRESQL, render
from tests.ledger.commands import ALICE, BOB, checkpoint, claimant, outcome, start
from tests.ledger.conftest import Connect
from tests.ledger.writing import in_threads

CAROL = "carol"


def waiting(backend: Backend, executor: str = ALICE, limit: int = 100, **filters: str) -> list[Claimed]:
    names = filters.pop("names", "order").split()
    return backend.change(queries.claim_waiting_by(claimant(executor, *names, **filters), limit))


def lost(backend: Backend, executor: str, of: str, limit: int = 100) -> list[Claimed]:
    return backend.change(queries.claim_lost_by(claimant(executor), of, limit))


def ids(claimed: list[Claimed]) -> list[str]:
    return [one.status.workflow_id for one in claimed]


def row(backend: Backend, workflow_id: str = "w") -> WorkflowStatus:
    return backend.read(lambda session: queries.statuses(session, [workflow_id]))[workflow_id]


# -- who gets what -----------------------------------------------------------------------------------------------


def test_what_waits_is_claimed_with_its_inputs(backend: Backend) -> None:
    backend.write([start("w", executor=None, inputs="[7]")])
    [claimed] = waiting(backend)
    assert (claimed.inputs, claimed.serialization) == ("[7]", "json")
    assert claimed.status == row(backend)
    assert (claimed.status.status, claimed.status.executor_id) == (Status.PENDING, ALICE)
    assert claimed.status.attempt == 1
    assert claimed.status.recovery_attempts == 0
    assert waiting(backend, BOB) == []
    assert backend.write([checkpoint("w")]) == [Recorded.RECORDED]


def test_the_oldest_are_claimed_first_and_no_more_than_asked_for(backend: Backend) -> None:
    def age(session: Session) -> None:
        for number in range(20):
            session.execute(
                "UPDATE {t}workflow_status SET created_at = ? WHERE workflow_uuid = ?", (2000 - number, f"w{number}")
            )

    backend.write([start(f"w{number}", executor=None) for number in range(20)])
    backend.change(age)
    assert ids(waiting(backend, limit=3)) == ["w19", "w18", "w17"]
    assert ids(waiting(backend, limit=3)) == ["w16", "w15", "w14"]
    assert ids(waiting(backend)) == [f"w{number}" for number in reversed(range(14))]


def test_only_what_the_claimant_can_run_is_claimed(backend: Backend) -> None:
    backend.write(
        [
            start("any version", executor=None),
            start("its version", executor=None, version="v1"),
            start("another version", executor=None, version="v2"),
            start("another name", executor=None, name="refund"),
            start("another application", executor=None, application="bank"),
        ]
    )
    assert sorted(ids(waiting(backend, version="v1"))) == ["any version", "its version"]
    assert ids(waiting(backend, names="order refund")) == ["another name"]
    assert ids(waiting(backend, application="bank")) == ["another application"]
    assert waiting(backend, names="nothing") == []
    assert row(backend, "another version").status is Status.ENQUEUED


def test_the_filters_hold_for_what_a_lost_executor_left_too(backend: Backend) -> None:
    backend.write(
        [
            start("mine"),
            start("another version", version="v2"),
            start("another name", name="refund"),
            start("another application", application="bank"),
            start("another executor", executor=CAROL),
        ]
    )
    assert ids(lost(backend, BOB, of=ALICE)) == ["mine"]
    assert lost(backend, BOB, of=ALICE) == []


def test_two_claimants_share_what_waits_and_lose_nothing(backend: Backend, connect: Connect, ledger_url: str) -> None:
    backends = [backend, *(connect(ledger_url) for _ in range(3))]
    backend.write([start(f"w{number}", executor=None) for number in range(400)])
    taken: list[str] = []

    def claims(one: Backend, executor: str) -> None:
        empty = 0
        while empty < 3:  # a claim that meets only rows which others hold finds nothing, and looks again
            claimed = waiting(one, executor, limit=7)
            taken.extend(ids(claimed))
            empty = 0 if claimed else empty + 1

    in_threads([partial(claims, one, f"executor{number}") for number, one in enumerate(backends)])
    assert sorted(taken) == sorted(f"w{number}" for number in range(400))


# -- what a claim finds locked -----------------------------------------------------------------------------------


def test_a_row_whose_colocated_transaction_is_open_is_skipped_and_its_checkpoint_seen_later(
    postgres_backend: Backend,
) -> None:
    assert isinstance(postgres_backend, PostgresBackend)
    postgres_backend.write([start("open"), start("free")])
    guard = Guard("token", 10_000)
    place = Place("open", "run", CheckpointKey("", 1), Fence(ALICE, 1))

    with postgres_backend.connect() as user:

        def execute(sql: str, params: object) -> None:
            assert isinstance(params, tuple)
            values: tuple[Parameter, ...] = params
            user.execute(render(sql, POSTGRESQL, "format").encode(), values)

        with user.transaction():
            execute(*guard_begin("postgresql", guard))
            execute(*record_fenced("postgresql", place, Checkpoint("pay", "1", None, "json"), 0, guard))
            assert ids(lost(postgres_backend, BOB, of=ALICE)) == ["free"], "nor does it wait"
        assert ids(lost(postgres_backend, BOB, of=ALICE)) == ["open"]
    history = postgres_backend.read(lambda session: queries.history(session, ["open"]))["open"]
    assert set(history) == {CheckpointKey("", 1)}
    user.close()


# -- what a claim counts -----------------------------------------------------------------------------------------


def test_every_claim_counts_as_an_attempt_and_only_those_after_a_loss_as_recoveries(backend: Backend) -> None:
    backend.write([start("w")])
    counted = []
    for executor, of in ((BOB, ALICE), (CAROL, BOB), (ALICE, CAROL)):
        [claimed] = lost(backend, executor, of)
        counted.append((claimed.status.attempt, claimed.status.recovery_attempts))
    assert counted == [(2, 1), (3, 2), (4, 3)]


def test_progress_since_the_last_recovery_starts_the_count_anew(backend: Backend) -> None:
    def recoveries(executor: str, of: str) -> int:
        [claimed] = lost(backend, executor, of)
        return claimed.status.recovery_attempts

    backend.write([start("w")])
    assert recoveries(BOB, ALICE) == 1
    assert recoveries(ALICE, BOB) == 2
    backend.write([checkpoint("w", 1, attempt=3)])
    assert recoveries(BOB, ALICE) == 1
    assert recoveries(ALICE, BOB) == 2, "the old checkpoint is no new progress"
    backend.write([checkpoint("w", 1, attempt=5)])
    assert recoveries(BOB, ALICE) == 3, "nor is the same one sent again"


def test_progress_before_the_first_loss_counts_as_progress(backend: Backend) -> None:
    backend.write([start("w")])
    backend.write([checkpoint("w", number) for number in (1, 2, 3)])
    [claimed] = lost(backend, BOB, ALICE)
    assert claimed.status.recovery_attempts == 1


def test_hand_backs_and_their_claims_are_no_recoveries(backend: Backend) -> None:
    backend.write([start("w")])
    lost(backend, BOB, ALICE)
    for turn in range(3):
        assert backend.change(lambda session: queries.hand_back(session, BOB, ["w"])) == 1
        assert row(backend).executor_id is None
        [claimed] = waiting(backend, BOB)
        assert (claimed.status.attempt, claimed.status.recovery_attempts) == (3 + turn, 1)


# -- handing back ------------------------------------------------------------------------------------------------


def test_only_what_the_executor_holds_is_handed_back(backend: Backend) -> None:
    backend.write([start("held"), start("ended"), start("other", executor=BOB), start("waits", executor=None)])
    backend.write([outcome("ended")])
    everything = ["held", "ended", "other", "waits", "nobody"]
    assert backend.change(lambda session: queries.hand_back(session, ALICE, everything)) == 1
    assert row(backend, "held").status is Status.ENQUEUED
    assert row(backend, "ended").status is Status.SUCCESS
    assert row(backend, "other").executor_id == BOB
    assert backend.change(lambda session: queries.hand_back(session, ALICE, everything)) == 0


def test_what_is_held_is_listed_by_executor(backend: Backend) -> None:
    backend.write([start("a"), start("b", name="refund"), start("c", executor=BOB), start("d", executor=None)])
    backend.write([start("e"), outcome("e")])
    assert sorted(backend.read(lambda session: queries.held(session, ALICE))) == [("a", "order"), ("b", "refund")]


# -- executors ---------------------------------------------------------------------------------------------------


def register(backend: Backend, executor: str, lease_ms: int) -> None:
    backend.change(
        lambda session: queries.register_executor(
            session, claimant(executor), label=None, hostname="here", process="p", lease_ms=lease_ms
        )
    )


def test_a_lease_runs_out_by_the_databases_clock_and_can_be_renewed(backend: Backend) -> None:
    register(backend, ALICE, 60_000)
    register(backend, BOB, -1000)

    def expired() -> dict[str, bool]:
        others = backend.read(lambda session: queries.other_executors(session, claimant(CAROL)))
        return {one.executor_id: one.expired for one in others}

    assert expired() == {ALICE: False, BOB: True}
    assert backend.change(lambda session: queries.renew_lease(session, claimant(BOB), 60_000))
    assert expired() == {ALICE: False, BOB: False}
    assert not backend.change(lambda session: queries.renew_lease(session, claimant(CAROL), 60_000))


@pytest.mark.parametrize("holds", [True, False])
def test_an_executor_is_forgotten_only_when_it_holds_nothing(backend: Backend, holds: bool) -> None:
    register(backend, ALICE, 60_000)
    backend.write([start("w"), start("v")])
    backend.write([outcome("w"), *([] if holds else [outcome("v")])])
    backend.change(lambda session: queries.forget_executor(session, "shop", ALICE))
    assert backend.read(lambda session: queries.executor_is_known(session, ALICE)) is holds
