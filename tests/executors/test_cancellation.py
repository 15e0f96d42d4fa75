"""Cancelled and resumed from another process, while the executor runs, is stopped for a while, or is killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from durably import Client, Durably, Status, WorkflowCancelledError, step, workflow
from tests.execution.rows import checkpoints
from tests.executors.programs import Program

LONG = 30.0
#: What another process is told, it hears within this time (seconds); it is a few milliseconds on an idle machine.
SOON = 1.0

TEXT = """
import os, sys, threading, time
import durably
from durably import Durably, step, workflow

def journal(line):
    with open(os.environ["JOURNAL"], "a") as file:
        file.write(line + "\\n")
        file.flush()

@step(name="one")
def one():
    journal("one")
    return 1

@step(name="two")
def two():
    journal("two begins")
    while not os.path.exists("go"):
        time.sleep(0.005)
    journal("two ends")
    return 2

@workflow(name="asleep")
def asleep():
    one()
    journal("asleep")
    durably.sleep(600)

@workflow(name="asleep_later")
async def asleep_later():
    await durably.aio.run_step(one)
    journal("asleep")
    await durably.aio.sleep(600)

@workflow(name="working")
def working():
    return [one(), two(), one()]

def main(url, notifications, lease, *names):
    app = Durably("away", system_database_url=url, notifications=notifications == "yes", lease_seconds=float(lease))
    with app:
        for name in names:
            with durably.workflow_options(workflow_id=name):
                durably.start_workflow(globals()[name])
        active = app._require().services.active
        was = set(names)
        while not os.path.exists("end"):
            now = {run.workflow_id for run in active.runs() if run.stopped is None}
            for name in sorted(was - now):
                journal(f"stopped {name} {time.time()}")
            was = now
            time.sleep(0.001)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, TEXT)


@contextmanager
def running(program: Program, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program, running; at the end all of it goes on to its own end."""
    process = program.start(*arguments)
    try:
        yield process
    finally:
        (program.folder / "go").touch()
        (program.folder / "end").touch()
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)


def until(what: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def stops(program: Program) -> dict[str, float]:
    """When which workflow was stopped in the program."""
    lines = [line.split() for line in program.journal() if line.startswith("stopped ")]
    return {name: float(at) for _, name, at in lines}


@pytest.mark.parametrize("notifications", ["yes", "no"])
def test_who_sleeps_in_another_process_is_stopped(program: Program, system_url: str, notifications: str) -> None:
    """By notification or from the file; without both, it is found by looking, once a second at the latest."""
    names = ["asleep", "asleep_later"]
    with running(program, system_url, notifications, "30", *names), Client(system_url, name="away") as client:
        until(lambda: program.journal().count("asleep") == 2)
        for name in names:
            began = time.time()
            client.cancel_workflow(name)
            with pytest.raises(WorkflowCancelledError):
                client.get_result(name, timeout_seconds=SOON)
            until(lambda name=name: name in stops(program))  # type: ignore[misc]
            assert stops(program)[name] - began < SOON + (1.0 if notifications == "no" else 0.0)


def test_within_moments(program: Program, system_url: str) -> None:
    seconds = []
    resumed = []
    with running(program, system_url, "yes", "30", "asleep_later"), Client(system_url, name="away") as client:
        until(lambda: program.journal().count("asleep") == 1)
        for life in range(1, 8):
            began = time.time()
            client.cancel_workflow("asleep_later")
            until(lambda: "asleep_later" in stops(program) and stops(program)["asleep_later"] > began)  # noqa: B023
            seconds.append(stops(program)["asleep_later"] - began)
            began = time.time()
            client.resume_workflow("asleep_later")
            until(lambda: program.journal().count("asleep") == life + 1)  # noqa: B023
            resumed.append(time.time() - began)
        client.cancel_workflow("asleep_later")
    assert median(seconds) < 0.25, seconds
    assert median(resumed) < 0.5, resumed
    assert program.journal().count("one") == 1


def test_the_step_that_runs_in_another_process_is_kept(program: Program, system_url: str) -> None:
    with running(program, system_url, "yes", "30", "working"), Client(system_url, name="away") as client:
        until(lambda: "two begins" in program.journal())
        client.cancel_workflow("working")
        (program.folder / "go").touch()
        until(lambda: len(client.list_workflow_steps("working")) == 2)
        assert client.get_workflow_status("working").status is Status.CANCELLED
    assert [line for line in program.journal() if not line.startswith("stopped")] == ["one", "two begins", "two ends"]


#: The same names in this process.
RAN: list[str] = []


@step(name="one")
def one() -> int:
    RAN.append("one")
    return 1


@step(name="two")
def two() -> int:
    RAN.append("two")
    return 20


@workflow(name="working")
def working() -> list[int]:
    return [one(), two(), one()]


def test_resumed_here_while_the_other_process_is_stopped(program: Program, system_url: str) -> None:
    """It was cancelled without hearing of it. What it does when it wakes up is refused."""
    RAN.clear()
    with running(program, system_url, "yes", "600", "working") as process:
        until(lambda: "two begins" in program.journal())
        process.send_signal(signal.SIGSTOP)
        with Durably("away", system_database_url=system_url) as app:
            app.cancel_workflow("working")
            app.resume_workflow("working")
            with Client(system_url, name="away") as client:
                assert client.get_result("working", timeout_seconds=LONG) == [1, 20, 1]
            assert app.get_workflow_status("working").attempt == 2
        process.send_signal(signal.SIGCONT)
        (program.folder / "go").touch()
        until(lambda: "two ends" in program.journal())
    assert RAN == ["two", "one"]
    assert checkpoints(system_url, "working") == ["one", "two", "one"]
    with Client(system_url, name="away") as client:
        assert [one.output for one in client.list_workflow_steps("working", payloads=True)] == [1, 20, 1]


def test_cancelled_while_its_process_is_stopped_and_kept(program: Program, system_url: str) -> None:
    """The step that ran meanwhile ends, and is recorded; nothing comes after it."""
    with running(program, system_url, "yes", "600", "working") as process, Client(system_url, name="away") as client:
        until(lambda: "two begins" in program.journal())
        process.send_signal(signal.SIGSTOP)
        client.cancel_workflow("working")
        with pytest.raises(WorkflowCancelledError):
            client.get_result("working", timeout_seconds=SOON)
        (program.folder / "go").touch()
        process.send_signal(signal.SIGCONT)
        until(lambda: len(client.list_workflow_steps("working")) == 2)
    assert checkpoints(system_url, "working") == ["one", "two"]
    assert program.journal().count("one") == 1


def test_what_is_cancelled_is_not_taken_over_from_the_dead(program: Program, system_url: str) -> None:
    RAN.clear()
    with running(program, system_url, "yes", "600", "working") as process, Client(system_url, name="away") as client:
        until(lambda: "two begins" in program.journal())
        client.cancel_workflow("working")
        process.kill()
        process.wait(LONG)
        with Durably("away", system_database_url=system_url, lease_seconds=0.3):
            time.sleep(0.6)
            assert client.get_workflow_status("working").status is Status.CANCELLED
            assert RAN == []
            client.resume_workflow("working")
            assert client.get_result("working", timeout_seconds=LONG) == [1, 20, 1]
    assert RAN == ["two", "one"]
    status = client.get_workflow_status("working")
    client.close()
    assert (status.attempt, status.recovery_attempts) == (2, 0)
