"""Programs of a Django project that run until they are told to end: servers and workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.adapters.django.page import clean_environment

T = TypeVar("T")

PATIENCE = 60.0


class Program:
    """One that runs, in a process group of its own, with what it has printed so far."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._log = folder / f"{'-'.join(one.rpartition('/')[2] for one in arguments)}-{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-W", "error", *arguments],
                cwd=folder,
                env={**clean_environment(), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> None:
        """Wait until it has printed that."""

        def said() -> bool:
            assert self.process.poll() is None or text in self.output(), f"it has ended:\n{self.output()}"
            return text in self.output()

        until(said, lambda: f"{text!r} in:\n{self.output()}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it with all its children, whatever they do."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Program]:
    """A program for the block."""
    program = Program(folder, *arguments, **environment)
    try:
        yield program
    finally:
        program.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, path: str, *, post: bool = False) -> tuple[int, Any]:
    """A request; status and decoded answer. OSError while nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data=b"" if post else None)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310  the test's own server
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(condition: Callable[[], T], what: Callable[[], str]) -> T:
    """Wait until something is true; its value."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain for {what()}"
        time.sleep(0.05)


def reloads(program: Program, mark: str, file: Path, text: str) -> None:
    """Change a file, and wait until the reloader has begun anew and says ``mark`` again.

    A change before its first look at the files is none to it; then they are changed once more.
    """
    said = program.output().count(mark)
    for _ in range(10):
        file.write_text(text)
        deadline = time.monotonic() + PATIENCE / 10
        while time.monotonic() < deadline:
            if program.output().count(mark) > said:
                return
            time.sleep(0.05)
    raise AssertionError(f"it did not reload:\n{program.output()}")


def listening(port: int, program: Program) -> None:
    """Wait until a server answers."""

    def answers() -> bool:
        assert program.process.poll() is None, program.output()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            return False

    until(answers, lambda: f"an answer from\n{program.output()}")
