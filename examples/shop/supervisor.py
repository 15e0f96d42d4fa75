"""Runs the worker process until every order is placed, and kills it on the way: SIGKILL, which no process can catch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from examples.shop.audit import Progress

ROOT = Path(__file__).resolve().parents[2]
LOOK_SECONDS = 0.03
#: Longer than this without any order placed, and something is wrong.
PATIENCE_SECONDS = 45.0


class Stuck(Exception):
    """The worker makes no progress, or ended before its work was done."""


@dataclass
class Supervisor:
    """Starts workers one after the other, and kills each at its mark but the last."""

    orders_file: Path
    environment: Mapping[str, str]
    log: Path
    #: After so many orders each, the worker is killed, if it has others under way.
    marks: Sequence[int]
    progress: Callable[[], Progress]
    #: Told of each look, and of each worker's start and end.
    on_progress: Callable[[Progress], None]
    on_start: Callable[[int, int], None]
    on_kill: Callable[[int, int, Progress], None]
    kills: int = field(default=0, init=False)

    def run(self) -> None:
        """Return when a worker has come to the end of the file; Stuck if that will not happen."""
        while True:
            with self._worker() as worker:
                self.on_start(self.kills + 1, worker.pid)
                if self._watch(worker):
                    break
        self.on_progress(self.progress())

    def _watch(self, worker: subprocess.Popen[bytes]) -> bool:
        """Follow one worker to its end; whether it ended by itself."""
        done, patience_ends = -1, 0.0
        began_with = self.progress().done
        while worker.poll() is None:
            now = self.progress()
            self.on_progress(now)
            if now.done > done:
                done, patience_ends = now.done, time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() > patience_ends:
                raise Stuck(f"the worker has placed no order for {PATIENCE_SECONDS:.0f} s")
            # Never one that has not yet placed anything: a worker that is killed is to have been at work.
            at_work = now.in_flight > 0 and now.done > began_with
            if self.kills < len(self.marks) and now.done >= self.marks[self.kills] and at_work:
                worker.send_signal(signal.SIGKILL)
                if worker.wait() == -signal.SIGKILL:
                    self.kills += 1
                    self.on_kill(self.kills, worker.pid, self.progress())
                    return False
            time.sleep(LOOK_SECONDS)
        if worker.returncode != 0:
            raise Stuck(f"the worker ended with exit code {worker.returncode}")
        return True

    @contextmanager
    def _worker(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "examples.shop.worker", str(self.orders_file)]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **self.environment}, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            yield worker
        finally:
            worker.kill()  # does nothing to one that has ended
            worker.wait()
