"""SIGKILL before and after each checkpoint of messages, events, streams, children, waits and control."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from random import Random

import pytest

from durably.testing.postgres import PostgresServer
from tests.crash.figures import KILLS, report
from tests.crash.oracle import Verdict
from tests.crash.rounds import Crew, Lane
from tests.crash.spec import Pass
from tests.crash.talk_rounds import FORMS, GATHERED, KILLS_PER_ROUND, NOTED, POINTS, Form, Place, Rounds, TalkRound


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Rounds]:
    rounds = Rounds(tmp_path_factory.mktemp("talk"), postgres_server)
    yield rounds
    rounds.close()


EVERY_FORM = pytest.mark.parametrize("form", FORMS, ids=str)


@pytest.mark.parametrize("point", POINTS)
@EVERY_FORM
def test_nothing_is_lost_doubled_or_reordered(crew: Crew, rounds: Rounds, form: Form, point: str) -> None:
    count, place = -(-form.share_of(KILLS) // KILLS_PER_ROUND), POINTS[point]
    tally = report(
        crew.run(f"{form}, {point}", count, lambda lane, random: rounds.killed_at(lane, form, point, place, random))
    )
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)
    assert tally.kills >= form.share_of(KILLS)


@pytest.mark.parametrize("side", ["before", "after"])
@EVERY_FORM
def test_at_the_checkpoint_of_each_verb(crew: Crew, rounds: Rounds, form: Form, side: str) -> None:
    """They share one point, and one piece of code, so that each verb gets fewer kills; the rounds go by turns."""
    verbs = {**NOTED, **(GATHERED if form.asynchronous else {})}
    count = -(-max(KILLS // 5, 1) // KILLS_PER_ROUND)
    left: SimpleQueue[tuple[str, Place]] = SimpleQueue()
    for _ in range(count):
        for verb, place in verbs.items():
            left.put((f"checkpoint.{side}:{verb}", place))

    def one(lane: Lane, random: Random) -> tuple[int, Verdict]:
        point, place = left.get_nowait()
        return rounds.killed_at(lane, form, point, place, random)

    tally = report(crew.run(f"{form}, checkpoint.{side} of {len(verbs)} verbs", left.qsize(), one))
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)
    assert tally.kills == count * len(verbs) * KILLS_PER_ROUND


@EVERY_FORM
def test_at_a_random_time_nothing_is_lost_doubled_or_reordered(crew: Crew, rounds: Rounds, form: Form) -> None:
    count = -(-form.share_of(KILLS) // KILLS_PER_ROUND)
    tally = report(
        crew.run(f"{form}, at a random time", count, lambda lane, random: rounds.killed_sometime(lane, form, random))
    )
    assert not tally.verdict.violations, "\n".join(tally.verdict.findings)
    assert tally.kills >= count


# -- what the oracle says of broken engines ----------------------------------------------------------------------

BLOCKING = pytest.mark.parametrize("form", [form for form in FORMS if not form.asynchronous], ids=str)


def broken(crew: Crew, rounds: Rounds, form: Form, mutant: str, part: str, kill: Pass) -> Verdict:
    lane = crew.lanes[0]
    # On a database of its own: what a mutant breaks stays broken.
    round_ = TalkRound(lane, rounds.fresh(form).but(mutant=mutant, wait_seconds=5), [part])
    round_.killed(kill)
    round_.finish()
    return round_.verdict()


@BLOCKING
def test_a_record_before_what_is_written_loses(crew: Crew, rounds: Rounds, form: Form) -> None:
    assert broken(crew, rounds, form, "record before writing", "talk", Pass("stream.after")).lost >= 1


@BLOCKING
def test_a_message_that_is_consumed_before_its_record_is_lost(crew: Crew, rounds: Rounds, form: Form) -> None:
    verdict = broken(crew, rounds, form, "consume before recording", "talk", Pass("receive.after", 3))
    assert verdict.lost >= 1
    assert verdict.stuck >= 1


@BLOCKING
def test_a_stream_whose_writes_have_no_place_doubles(crew: Crew, rounds: Rounds, form: Form) -> None:
    assert broken(crew, rounds, form, "stream without a place", "talk", Pass("step.body.after")).doubled >= 1


@BLOCKING
def test_a_child_with_another_id_each_time_doubles(crew: Crew, rounds: Rounds, form: Form) -> None:
    assert broken(crew, rounds, form, "child by chance", "family", Pass("checkpoint.before:child")).doubled >= 1
