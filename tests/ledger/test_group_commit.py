"""Group commit: every command is answered, batches are shared, and the right thread writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from durably.ledger.commands import Answer, RecordCheckpoint, Recorded
from durably.ledger.commit import BATCH_LIMIT, ECHO_SECONDS, GroupCommit
from tests.ledger.commands import checkpoint
from tests.ledger.writing import Blocked, Recorder, in_threads, record, some


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def commit(recorder: Recorder) -> Iterator[GroupCommit]:
    commit = GroupCommit(recorder, "test")
    yield commit
    commit.close()


def writer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "test-writer"]


def until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


# -- who writes --------------------------------------------------------------------------------------------------


def test_a_lone_caller_writes_on_its_own_thread_and_starts_no_other(commit: GroupCommit, recorder: Recorder) -> None:
    for command in some(5):
        assert record(commit, command) is Recorded.RECORDED
    assert recorder.batches == [[command] for command in some(5)]
    assert set(recorder.writers) == {threading.current_thread()}
    assert writer_threads() == []


def test_callers_on_a_loop_never_write_and_share_a_batch(commit: GroupCommit, recorder: Recorder) -> None:
    async def one(command: RecordCheckpoint) -> Answer:
        answer: Answer = await commit.submit(command)
        return answer

    async def main() -> list[Answer]:
        return await asyncio.gather(*map(one, some(200)))

    recorder.seconds = 0.002
    assert asyncio.run(main()) == [Recorded.RECORDED] * 200
    assert {thread.name for thread in recorder.writers} == {"test-writer"}
    assert len(recorder.batches) < 20


def test_a_caller_with_a_time_limit_never_writes(commit: GroupCommit, recorder: Recorder) -> None:
    entry = commit.submit(checkpoint("w"))
    assert entry.wait(5)
    assert {thread.name for thread in recorder.writers} == {"test-writer"}


# -- sharing -----------------------------------------------------------------------------------------------------


def test_all_are_answered_in_fewer_commits_and_each_thread_in_its_order(
    commit: GroupCommit, recorder: Recorder
) -> None:
    recorder.seconds = 0.001

    def work(name: str) -> None:
        for command in some(40, name):
            assert record(commit, command) is Recorded.RECORDED

    names = [f"w{number}" for number in range(24)]
    in_threads([partial(work, name) for name in names])
    assert len(recorder.commands) == 24 * 40
    assert len(recorder.batches) < 24 * 40 / 3
    for name in names:
        assert [command for command in recorder.commands if command.workflow_id == name] == some(40, name)
    assert writer_threads() == []


def test_threads_and_loops_and_echoes_together_lose_nothing(commit: GroupCommit, recorder: Recorder) -> None:
    recorder.seconds = 0.0005

    def blocking(name: str) -> None:
        for command in some(60, name):
            record(commit, command)

    def asynchronous(name: str) -> None:
        async def main() -> None:
            for command in some(60, name):
                assert await commit.submit(command) is Recorded.RECORDED

        asyncio.run(main())

    def echoing(name: str) -> None:
        for command in some(60, name):
            commit.submit_unwaited(command)
            time.sleep(0.001)

    kinds = (blocking, asynchronous, echoing)
    in_threads([partial(kind, f"{kind.__name__}{number}") for number in range(5) for kind in kinds])
    commit.flush()
    assert len(recorder.commands) == 3 * 5 * 60
    for name in {command.workflow_id for command in recorder.commands}:
        assert [command for command in recorder.commands if command.workflow_id == name] == some(60, name)


def test_what_arrives_while_one_batch_is_written_goes_into_the_next() -> None:
    blocked = Blocked()
    commit = GroupCommit(blocked, "test")
    commands = some(21)

    def later() -> None:
        assert blocked.entered.wait(5)
        threads = [threading.Thread(target=record, args=(commit, command)) for command in commands[1:]]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        blocked.release.set()
        for thread in threads:
            thread.join(5)

    in_threads([partial(record, commit, commands[0]), later])
    assert [len(batch) for batch in blocked.batches] == [1, 20]
    commit.close()


@pytest.mark.parametrize("waits", ["on a loop", "not at all"])
def test_more_than_one_batch_can_hold_is_written_all_the_same(waits: str) -> None:
    """A blocking caller whose batch was full leaves the rest to somebody, even if nobody else comes."""
    blocked = Blocked()
    commit = GroupCommit(blocked, "test")
    first = threading.Thread(target=record, args=(commit, checkpoint("first")))
    first.start()
    assert blocked.entered.wait(5)
    leader = threading.Thread(target=record, args=(commit, checkpoint("leader")))
    leader.start()
    time.sleep(0.05)
    many = some(BATCH_LIMIT + 500)

    async def main() -> None:
        entries = [commit.submit(command) for command in many]
        tasks = [asyncio.ensure_future(entry) for entry in entries]
        await asyncio.sleep(0)
        blocked.release.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)

    if waits == "on a loop":
        asyncio.run(main())
    else:
        entries = [commit.submit_unwaited(command) for command in many]
        blocked.release.set()
        until(lambda: all(entry.done() for entry in entries))
    assert max(map(len, blocked.batches)) <= BATCH_LIMIT
    assert [command for command in blocked.commands if command.workflow_id == "w"] == many
    commit.close()


# -- echoes ------------------------------------------------------------------------------------------------------


def test_an_echo_is_written_soon_without_anybody_waiting(commit: GroupCommit, recorder: Recorder) -> None:
    began = time.monotonic()
    commit.submit_unwaited(checkpoint("w"))
    assert not recorder.batches, "it gives others the time to take it along"
    until(lambda: recorder.batches)
    assert ECHO_SECONDS * 0.8 <= time.monotonic() - began < ECHO_SECONDS + 0.5


def test_an_echo_rides_along_with_the_next_batch(commit: GroupCommit, recorder: Recorder) -> None:
    echo = commit.submit_unwaited(checkpoint("w", 1))
    record(commit, checkpoint("w", 2))
    assert echo.done()
    assert recorder.batches == [some(2)]
    assert recorder.writers == [threading.current_thread()]


def test_the_second_echo_is_no_later_than_the_first(commit: GroupCommit, recorder: Recorder) -> None:
    for _ in range(3):
        began = time.monotonic()
        entry = commit.submit_unwaited(checkpoint("w"))
        until(entry.done)
        assert time.monotonic() - began < ECHO_SECONDS + 0.5
    assert len(writer_threads()) == 1


# -- errors ------------------------------------------------------------------------------------------------------


def test_an_error_reaches_its_own_caller_only() -> None:
    def write(batch: object) -> list[Answer | tuple[Answer, ...] | BaseException]:
        assert isinstance(batch, list)
        return [ValueError("odd") if command.function_id % 2 else Recorded.RECORDED for command in batch]

    commit = GroupCommit(write, "test")

    def work(command: RecordCheckpoint) -> None:
        if command.function_id % 2:
            with pytest.raises(ValueError, match="odd"):
                record(commit, command)
        else:
            assert record(commit, command) is Recorded.RECORDED

    in_threads([partial(work, command) for command in some(40)])
    commit.close()


# -- flush and close ---------------------------------------------------------------------------------------------


def test_close_writes_what_is_left(commit: GroupCommit, recorder: Recorder) -> None:
    entries = [commit.submit_unwaited(command) for command in some(BATCH_LIMIT * 2 + 1)]
    commit.close()
    assert all(entry.done() for entry in entries)
    assert recorder.commands == some(BATCH_LIMIT * 2 + 1)
    assert writer_threads() == []


def test_close_waits_for_a_batch_that_is_being_written() -> None:
    blocked = Blocked()
    commit = GroupCommit(blocked, "test")
    entry = commit.submit_unwaited(checkpoint("w"))
    assert blocked.entered.wait(5)
    closing = threading.Thread(target=commit.close)
    closing.start()
    time.sleep(0.05)
    assert closing.is_alive()
    blocked.release.set()
    closing.join(5)
    assert not closing.is_alive()
    assert entry.done()


def test_close_twice_is_close_once(commit: GroupCommit) -> None:
    commit.submit_unwaited(checkpoint("w"))
    commit.close()
    commit.close()


def test_flush_ends_although_others_go_on_submitting(commit: GroupCommit, recorder: Recorder) -> None:
    recorder.seconds = 0.002
    stop = threading.Event()

    def work(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            record(commit, checkpoint(name, number))

    threads = [threading.Thread(target=work, args=(f"w{number}",), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    flushed = threading.Thread(target=commit.flush, daemon=True)
    flushed.start()
    flushed.join(3)
    in_time = not flushed.is_alive()
    stop.set()
    for thread in threads:
        thread.join(5)
    assert in_time


@pytest.mark.parametrize("driver", ["thread", "loop"])
def test_who_comes_after_close_gets_an_answer_or_an_error_and_never_hangs(
    commit: GroupCommit, recorder: Recorder, driver: str
) -> None:
    commit.submit_unwaited(checkpoint("w"))
    commit.close()

    def late() -> None:
        async def submitted() -> None:
            await asyncio.wait_for(commit.submit(checkpoint("late")), 3)

        if driver == "loop":
            asyncio.run(submitted())
        else:
            record(commit, checkpoint("late"))

    def accepted() -> None:
        from durably.errors import NotLaunchedError

        with pytest.raises(NotLaunchedError):
            late()

    in_threads([accepted], 5)
    assert len(recorder.commands) == 1, "a closed database is not written to"
