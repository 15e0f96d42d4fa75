"""A process is killed at the commit: before it there is neither row nor checkpoint, after it both; recovery goes on."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys

import pytest

from durably.testing.conformance import child
from durably.testing.conformance.lab import Lab
from durably.testing.conformance.scenario import scenario

#: How long a child may take to be killed (seconds).
CHILD_SECONDS = 60


class Crashes:
    """SIGKILL."""

    @pytest.mark.parametrize("moment", ["before", "after"])
    @scenario(launched=False)
    async def test_a_process_killed_at_the_commit(self, lab: Lab, moment: str) -> None:
        self._killed(lab, f"transaction.commit.{moment}")
        committed = moment == "after"
        assert lab.items() == ([1] if committed else [])
        assert len(lab.recorded()) == (1 if committed else 0)
        _, runs = child.declare(lab)
        engine = await lab.launch()
        assert await lab.result(child.WORKFLOW_ID, engine) == [1, 2]
        assert lab.items() == [1, 2]
        assert [one.error for one in lab.recorded()] == [None, None]
        # The first one of two ran in the process that was killed, if its commit took place.
        assert runs == ([2] if committed else [1, 2])

    @staticmethod
    def _killed(lab: Lab, point: str) -> None:
        """Run the child's workflow in a process that is killed at ``point``."""
        subject = type(lab.subject)
        arguments = [inspect.getfile(subject), subject.__module__, subject.__qualname__]
        arguments += [lab.placement.database, lab.site.url, lab.site.system_url, point]
        done = subprocess.run(
            [sys.executable, "-m", child.__name__, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=CHILD_SECONDS,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, f"the child was to be killed, and ended by itself:\n{done.stderr}"
