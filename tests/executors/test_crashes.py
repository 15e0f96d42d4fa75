"""A process is killed at a crash point; another one goes on from the last checkpoint, at once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.executors.programs import Program

TEXT = """
import asyncio, os, sys
import durably
from durably import Durably, crashpoints, step, workflow

def journal(line):
    with open(os.environ["JOURNAL"], "a") as file:
        file.write(line + "\\n")
        file.flush()
        os.fsync(file.fileno())

@step
def one():
    journal(f"one {durably.step_key()} {durably.attempt()}")
    return 1

@step
async def two():
    journal(f"two {durably.step_key()} {durably.attempt()}")
    return 2

@workflow
def child():
    return one() + 1

@workflow
def flow(start):
    return start + one() + child() + one()

@workflow
async def flow_later(start):
    return start + await two() + await durably.aio.run_step(one) + await two()

def main(url, point, nth, *names):
    if point != "none":
        crashpoints.kill_at(point, int(nth))
    with Durably("crash", system_database_url=url):
        handles = []
        for name in names:
            with durably.workflow_options(workflow_id=name):
                handles.append(durably.start_workflow(globals()[name], 100))
        print(*[handle.get_result(timeout_seconds=50) for handle in handles])

if __name__ == "__main__":
    main(*sys.argv[1:])
"""

#: Where to die, and at which pass; tests/crash has the whole matrix, with transactions.
CRASHES = [
    ("workflow_row.after", 1),
    ("step.body.after", 1),
    ("checkpoint.before", 3),
    ("checkpoint.after", 4),
    ("outcome.after", 2),
]


@pytest.mark.parametrize(("point", "nth"), CRASHES, ids=[f"{point}-{nth}" for point, nth in CRASHES])
def test_the_next_process_goes_on(tmp_path: Path, system_url: str, point: str, nth: int) -> None:
    program = Program(tmp_path, TEXT)
    killed = program.run(system_url, point, str(nth), "flow", "flow_later")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == ""
    before = program.journal()

    second = program.run(system_url, "none", "0", "flow", "flow_later")
    assert (second.returncode, second.stdout) == (0, "104 105\n"), second.stderr

    lines = Counter(line.rsplit(" ", 1)[0] for line in program.journal())
    # Each of the six bodies has one key for ever, whichever life it runs in, and each is a first attempt …
    assert len(lines) == 6
    assert all(line.endswith(" 1") for line in program.journal())
    # … and at most those that were under way when the process died ran again.
    again = [line for line, count in lines.items() if count > 1]
    assert len(again) <= 2
    assert set(again) <= {line.rsplit(" ", 1)[0] for line in before}


def test_a_killed_recovery_is_recovered(tmp_path: Path, system_url: str) -> None:
    program = Program(tmp_path, TEXT)
    for point, nth in (("checkpoint.after", 1), ("claim.after", 1), ("step.body.after", 1), ("outcome.before", 1)):
        killed = program.run(system_url, point, str(nth), "flow")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = program.run(system_url, "none", "0", "flow")
    assert (last.returncode, last.stdout) == (0, "104\n"), last.stderr
    assert len({line for line in program.journal()}) == 3


def test_a_peer_takes_over_at_once_on_the_same_machine(tmp_path: Path, system_url: str) -> None:
    """Death is proved; nobody waits for a lease to run out."""
    program = Program(tmp_path, TEXT.replace("system_database_url=url", "system_database_url=url, lease_seconds=600"))
    killed = program.run(system_url, "checkpoint.after", "1", "flow")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    second = program.run(system_url, "none", "0", "flow")
    assert second.stdout == "104\n", second.stderr
    assert "its process is gone" in second.stderr
