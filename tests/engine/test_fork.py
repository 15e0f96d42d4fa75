"""A forked child does not inherit its parent's engine: it says so, and can launch its own; the parent's is unharmed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.executors.programs import Program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

TEXT = '''
import os, sys, threading, traceback, warnings
import durably
from durably import Durably, NotLaunchedError, step, workflow

warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

@step
def pid():
    return os.getpid()

@workflow
def flow():
    return pid()

@workflow
async def flow_later():
    return await durably.aio.run_step(pid)

def forked(body):
    """Run body in a forked child; its exit code."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

app = Durably("fork", system_database_url=sys.argv[1])

def not_launched():
    for verb in (flow, lambda: durably.start_workflow(flow), lambda: durably.get_result("x"), handle.get_result):
        try:
            verb()
        except NotLaunchedError as error:
            assert f"was forked from {os.getppid()}" in str(error), error
            assert "call app.launch() in the child" in str(error), error
        else:
            raise AssertionError("not refused")
    app.shutdown()    # harmless

def launches_its_own():
    not_launched()
    with app:
        assert flow() == durably.start_workflow(flow_later).get_result(timeout_seconds=30) == os.getpid()
    try:
        flow()
    except NotLaunchedError as error:
        assert "forked" not in str(error), error

def has_a_child_of_its_own():
    with app:
        assert flow() == os.getpid()
        assert forked(not_launched) == 0
        assert flow() == os.getpid()

stop = threading.Event()
def busy():
    with app.current():
        while not stop.is_set():
            assert flow() == parent

with app:
    parent = os.getpid()
    handle = durably.start_workflow(flow)
    assert handle.get_result(timeout_seconds=30) == parent
    workers = [threading.Thread(target=busy) for _ in range(2)]
    for worker in workers:
        worker.start()
    for body in (not_launched, launches_its_own, has_a_child_of_its_own):
        assert forked(body) == 0, body
        assert flow() == durably.start_workflow(flow_later).get_result(timeout_seconds=30) == parent
    stop.set()
    for worker in workers:
        worker.join()
print("fine")
'''


def test_a_forked_child_launches_its_own(tmp_path: Path, system_url: str) -> None:
    run = Program(tmp_path, TEXT).run(system_url)
    assert (run.returncode, run.stdout) == (0, "fine\n"), run.stderr


PRELOAD = """
import os, sys
import durably
from durably import Durably, workflow

@workflow
def flow():
    return os.getpid()

app = Durably("fork", system_database_url=sys.argv[1])   # constructed, and not launched: as with --preload
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        with app:
            fine = flow() == durably.start_workflow(flow).get_result(timeout_seconds=30) == os.getpid()
        os._exit(0 if fine else 1)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_what_is_only_constructed_may_be_forked(tmp_path: Path, system_url: str) -> None:
    run = Program(tmp_path, PRELOAD).run(system_url)
    assert (run.returncode, run.stdout) == (0, "[0, 0, 0]\n"), run.stderr
