"""A process that has imported an ORM and opened nothing, and forks the processes of crash tests: some 10 ms each.

Starting Python and importing an ORM takes half a second, which would be most of what a kill costs. One zygote runs one
process at a time; it reads requests, one line of JSON each, and answers with how the process ended or that it stopped.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from typing_extensions import Self

from durably.registry import registry
from tests.crash import applications
from tests.crash.spec import Spec

REPOSITORY = Path(__file__).parents[2]
PRELOADED = (
    "asyncio.unix_events",
    "concurrent.futures.thread",
    "durably.aio",
    "durably.launched",
    "importlib.resources.readers",
    "durably.ledger.postgres",
    "durably.ledger.sqlite",
    "psycopg",
    "tests.crash.program",
    "tests.crash.talk_program_async",
)


class Ended(NamedTuple):
    """How a process ended, or that it was stopped (SIGSTOP); ``seconds`` since it began or was continued."""

    pid: int
    stopped: bool
    #: Its exit code, or minus the signal that ended it, as in ``subprocess``.
    code: int
    seconds: float
    timed_out: bool

    @property
    def killed(self) -> bool:
        """Whether it died of a SIGKILL that was meant."""
        return self.code == -signal.SIGKILL and not self.timed_out


class Zygote:
    """The test's end of one zygote, which has one ORM. Not for several threads at once."""

    def __init__(self, orm: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote", orm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        #: The process that was begun and has not ended, and whether it is stopped.
        self._child: int | None = None
        self._stopped = False

    def run(self, spec: Spec, *, kill_after: float | None = None) -> Ended:
        """Fork a process, wait until it ends or stops. ``kill_after``: seconds after which to SIGKILL it."""
        self.begin(spec, kill_after=kill_after)
        return self.ended()

    def begin(self, spec: Spec, *, kill_after: float | None = None) -> None:
        """Fork a process; ``ended`` waits for it."""
        assert self._child is None, "a zygote runs one process at a time"
        self._send({"run": spec.to_json(), "kill_after": kill_after, "seconds": spec.wait_seconds + 15})
        self._child = int(self._line())

    def resume(self, seconds: float = 45.0) -> None:
        """Let the stopped process go on (SIGCONT); ``ended`` waits for it."""
        self._stopped = False
        self._send({"signal": int(signal.SIGCONT), "seconds": seconds})

    def ended(self) -> Ended:
        """Wait until the process ends or stops."""
        ended = Ended(*json.loads(self._line()))
        self._stopped = ended.stopped
        if not ended.stopped:
            self._child = None
        return ended

    def abandon(self) -> None:
        """End the process that runs or is stopped, if there is one."""
        if self._child is None:
            return
        if not self._stopped:
            # Only the zygote knows whether the id is still its child's.
            self._process.send_signal(signal.SIGUSR1)
            self.ended()
        if self._stopped:
            self._send({"signal": int(signal.SIGKILL), "seconds": 45.0})
            self.ended()

    def _line(self) -> str:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"the zygote has ended with {self._process.wait()}")
        return line

    def _send(self, request: dict[str, object]) -> None:
        pipe = _pipe(self._process.stdin)
        pipe.write(json.dumps(request) + "\n")
        pipe.flush()

    def close(self) -> None:
        """End it, with what it runs."""
        self.abandon()
        _pipe(self._process.stdin).close()
        self._process.wait()
        _pipe(self._process.stdout).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


# -- the zygote's own end ----------------------------------------------------------------------------------------


def main() -> None:
    """Serve requests until there are no more."""
    preload(sys.argv[1])
    gc.collect()
    gc.freeze()  # so that children do not copy what they never change
    pid = 0
    for line in sys.stdin:
        request = json.loads(line)
        delay = request.get("kill_after")
        if "run" in request:
            pid = os.fork()
            if pid == 0:
                _be(Spec.from_json(request["run"]))
            print(pid, flush=True)
        else:
            os.kill(pid, request["signal"])
        ended = _wait(pid, request["seconds"] if delay is None else delay, meant=delay is not None)
        print(json.dumps(ended), flush=True)


def preload(orm: str) -> None:
    """Import what the program, the engine and the ORM import at their first use."""
    for name in (*PRELOADED, *applications.module(orm).PRELOADED):
        importlib.import_module(name)
    for declaration in registry.all():
        _ = declaration.types, declaration.receiver


def _be(spec: Spec) -> None:
    """In the forked child: run the program, and end without the zygote's own end."""
    errors = os.open(spec.log + ".errors", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(errors, 1)  # the zygote's answers go to its own output
    os.dup2(errors, 2)
    code = 70
    try:
        code = importlib.import_module(spec.program).run(spec)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, seconds: float, *, meant: bool) -> Ended:
    """Wait until the child ends or stops; kill it when the time is up, or on SIGUSR1."""
    began, alarmed, waiting = time.monotonic(), False, True

    def kill(signal_number: int, frame: object) -> None:
        nonlocal alarmed
        if waiting:
            alarmed = True
            with contextlib.suppress(ProcessLookupError):  # it has just been waited for
                os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.signal(signal.SIGUSR1, kill)
    with _timer(seconds):
        _, status = os.waitpid(pid, os.WUNTRACED)
        waiting = False
    took = time.monotonic() - began
    if os.WIFSTOPPED(status):
        return Ended(pid, True, 0, took, False)
    return Ended(pid, False, os.waitstatus_to_exitcode(status), took, alarmed and not meant)


@contextlib.contextmanager
def _timer(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.0001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
