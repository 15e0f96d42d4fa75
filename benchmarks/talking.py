"""Two ends of a pipe: the benchmark tells a worker process what to do next, one line of JSON for each call.

A worker serves a *speaker*: one system's ways to wait for something and to make it happen, as plain blocking methods.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from typing_extensions import Self

ROOT = Path(__file__).resolve().parent.parent

Kind = Literal["message", "event", "result"]
KINDS: tuple[Kind, ...] = ("message", "event", "result")


class Speaker(Protocol):
    """One system in one process. Moments are nanoseconds of the machine's monotonic clock."""

    def version(self) -> str:
        """The system's version."""
        ...

    def prepare(self, kind: Kind, name: str) -> None:
        """Have the workflow ``name`` under way, if it is this process that will make something of this kind happen."""
        ...

    def wait(self, kind: Kind, name: str) -> int:
        """Wait until another process makes it happen; how long after that this process knew (nanoseconds)."""
        ...

    def tell(self, kind: Kind, name: str) -> None:
        """Make it happen, with the moment as its value."""
        ...

    def fan_out(self, children: int) -> float:
        """Start so many children one after another and join them in the same way; how long that took (seconds)."""
        ...

    def fan_out_at_once(self, children: int) -> float:
        """Start so many coroutines as children, all at once, and join them; how long that took (seconds)."""
        ...

    def ping_pong(self, turns: int) -> float:
        """Have two workflows send to each other in turns; how long that took (seconds)."""
        ...


def serve(speaker: Speaker) -> None:
    """Answer calls until there are no more."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a system prints is no answer
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer = json.dumps(getattr(speaker, name)(*arguments))
        os.write(answers, answer.encode() + b"\n")


class Worker:
    """The benchmark's end of one worker process."""

    def __init__(self, python: str, module: str, url: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.workers.{module}", url],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, name: str, *arguments: object) -> None:
        """Have the worker begin with a call; ``end`` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """What the call gave."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with status {self._process.wait()}: {self._process.args!r}")
        return json.loads(line)

    def call(self, name: str, *arguments: object) -> Any:
        """Both."""
        self.begin(name, *arguments)
        return self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10 if error is None else 0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
