"""Promises of outcomes: who is answered by what, when outcomes are undone and waiters give up."""

from __future__ import annotations

import gc

from durably.ledger.wakeups import CANCELLED, Outcomes
from durably.model import Outcome, Status

DONE = Outcome(Status.SUCCESS, "1", None, "json")


def test_those_who_ask_before_the_database_is_asked_share_the_answer() -> None:
    outcomes = Outcomes()
    first, second = outcomes.promise("w"), outcomes.promise("w")
    outcomes.found(outcomes.awaited(), {"w": DONE})
    assert first is second
    assert first.result() == DONE
    assert not outcomes


def test_an_answer_is_none_to_who_asks_later() -> None:
    outcomes = Outcomes()
    before = outcomes.promise("w")
    asked = outcomes.awaited()
    after = outcomes.promise("w")  # it has been resumed meanwhile
    outcomes.found(asked, {"w": CANCELLED})
    assert before.result() == CANCELLED
    assert not after.done()
    outcomes.found(outcomes.awaited(), {"w": DONE})
    assert after.result() == DONE


def test_a_cancellation_is_announced_to_those_who_waited_before_it() -> None:
    outcomes = Outcomes()
    before = outcomes.promise("w")
    moment = outcomes.moment
    after = outcomes.promise("w")
    outcomes.announce("w", CANCELLED, moment)
    assert (before.done(), after.done()) == (True, False)


def test_those_who_began_to_wait_meanwhile_are_asked_for_again() -> None:
    outcomes = Outcomes()
    moment = outcomes.moment
    promise = outcomes.promise("w")
    outcomes.found(outcomes.awaited(), {"w": None})  # just before it is written
    asked_before = outcomes.has_new
    outcomes.announce("w", CANCELLED, moment)
    assert not promise.done()
    assert (asked_before, outcomes.has_new) == (False, True)
    outcomes.found(outcomes.awaited([]), {"w": CANCELLED})
    assert promise.result() == CANCELLED


def test_the_last_outcome_is_everybodys() -> None:
    outcomes = Outcomes()
    outcomes.promise("w")
    after = outcomes.promise("w")
    outcomes.announce("w", DONE)
    assert after.result() == DONE


def test_nobody_asks_for_what_nobody_waits_for_any_more() -> None:
    outcomes = Outcomes()
    kept = outcomes.promise("kept")
    for _ in range(3):
        outcomes.promise("w")
    gc.collect()
    assert outcomes.awaited().workflow_ids == ["kept"]
    assert not kept.done()


def test_a_name_is_asked_for_if_somebody_waits_for_it() -> None:
    outcomes = Outcomes()
    promises = [outcomes.promise("w"), outcomes.promise("v")]
    assert sorted(outcomes.awaited(["x"]).workflow_ids) == ["v", "w"]
    assert not outcomes.has_new
    assert outcomes.awaited(["w", "x"]).workflow_ids == ["w"]
    assert not any(promise.done() for promise in promises)
