"""What a program does not use, it does not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTED = """
import sys, durably
assert "asyncio" not in sys.modules
assert "durably.aio" not in sys.modules
assert durably.aio.start_workflow is not durably.start_workflow   # after a bare import
assert "durably.aio" in sys.modules
"""

IMPORTED_FROM = """
from durably import aio
import durably.aio
assert aio is durably.aio
"""

RUN = """
import sys, durably

@durably.step
def one():
    return 1

@durably.workflow
def flow():
    return one()

with durably.Durably("lazy", system_database_url="sqlite:///lazy.db"):
    assert flow() == durably.start_workflow(flow).get_result(timeout_seconds=30) == 1
assert "asyncio" not in sys.modules, "a program without coroutines needs no event loop"
assert "psycopg" not in sys.modules
"""

UNKNOWN = """
import durably
try:
    durably.start_workflo
except AttributeError as error:
    assert str(error) == "module 'durably' has no attribute 'start_workflo'", error
else:
    raise AssertionError
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(IMPORTED, id="aio at first use"),
        pytest.param(IMPORTED_FROM, id="aio by import"),
        pytest.param(RUN, id="a plain program"),
        pytest.param(UNKNOWN, id="a name that is not there"),
    ],
)
def test_a_program_of_its_own(tmp_path: Path, text: str) -> None:
    run = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
