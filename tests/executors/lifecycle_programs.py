"""Random programs of steps, transactions, waits, arms and children; what they do and return follows from a seed."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

import durably
from durably import (
    context,
    step,
    transaction,
    workflow,
)
from durably.execution.run import Run
from durably_sqlalchemy import session

#: A step's body lasts up to this long (seconds).
BODY = 0.008


class Bodies:
    """In which lives each body began, and which run right now. A body is named by its key: the run id, and its place.

    A life is one claim of a workflow; its attempt says which.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._begun: dict[str, list[int]] = {}
        self._running: Counter[str] = Counter()

    @contextmanager
    def one(self, *, counted: bool = True) -> Iterator[None]:
        """Around a body."""
        key, frame = durably.step_key(), context.frame()
        assert frame is not None
        assert isinstance(frame.run, Run)
        with self._mutex:
            if counted:
                self._begun.setdefault(key, []).append(frame.run.fence.attempt)
            self._running[key] += 1
        try:
            yield
        finally:
            with self._mutex:
                self._running[key] -= 1

    def begun(self, run_id: str) -> dict[str, list[int]]:
        """The attempts in which each body of a workflow began, by its place."""
        with self._mutex:
            mine = {key: list(attempts) for key, attempts in self._begun.items() if key.startswith(f"{run_id}:")}
        return {key.partition(":")[2]: attempts for key, attempts in mine.items()}

    def run(self, run_id: str) -> bool:
        """Whether a body of a workflow has not ended."""
        with self._mutex:
            return any(count for key, count in self._running.items() if key.startswith(f"{run_id}:"))


BODIES = Bodies()


def value(path: str) -> int:
    """What the step on this path returns."""
    return zlib.crc32(path.encode()) % 1000


@step
def plain(path: str) -> int:
    with BODIES.one():
        time.sleep(random.random() * BODY)  # noqa: S311
        return value(path)


@step
async def awaited(path: str) -> int:
    import asyncio

    with BODIES.one():
        await asyncio.sleep(random.random() * BODY)  # noqa: S311
        return value(path)


@transaction
def stored(path: str) -> int:
    """Counts, in the application's own table, how often it took effect.

    Its body may run again: one that is cancelled meanwhile is undone, with its writes.
    """
    with BODIES.one(counted=False):
        session().execute(_COUNT, {"place": f"{durably.workflow_id()} {path}"})
        time.sleep(random.random() * BODY)  # noqa: S311
        return value(path)


_COUNT = text(
    "INSERT INTO effects (place, times) VALUES (:place, 1) ON CONFLICT (place) DO UPDATE SET times = effects.times + 1"
)


Op = tuple[Any, ...]


def program(random_: random.Random, path: str, depth: int, asynchronous: bool) -> list[Op]:
    """A list of things to do, each with its path."""
    ops: list[Op] = []
    for number in range(random_.randint(2, 5)):
        here = f"{path}.{number}"
        kind = random_.choices(["step", "stored", "sleep", "arms", "child"], [6, 2, 2, 2, 1])[0]
        if kind == "arms" and asynchronous and depth:
            arms = [program(random_, f"{here}/{arm}", depth - 1, True) for arm in range(random_.randint(2, 3))]
            ops.append(("arms", here, arms))
        elif kind == "child" and depth:
            how = random_.choice(["called", "started"])
            ops.append(("child", here, how, program(random_, here, 0, asynchronous)))
        elif kind == "sleep":
            ops.append(("sleep", here, random_.random() * 0.02))
        else:
            ops.append(("stored" if kind == "stored" else "step", here))
    return ops


def expected(ops: list[Op]) -> int:
    """What a program returns."""
    total = 0
    for kind, path, *rest in ops:
        if kind in ("step", "stored"):
            total += value(path)
        elif kind == "arms":
            total += sum(map(expected, rest[0]))
        elif kind == "child":
            total += expected(rest[1])
    return total


def stored_in(ops: list[Op]) -> int:
    """How many transactions a program has, with its children's."""
    total = 0
    for kind, _, *rest in ops:
        if kind == "stored":
            total += 1
        elif kind == "arms":
            total += sum(map(stored_in, rest[0]))
        elif kind == "child":
            total += stored_in(rest[1])
    return total


@workflow
def run_plain(ops: list[Any]) -> int:
    total = 0
    for kind, path, *rest in ops:
        if kind == "step":
            total += plain(path)
        elif kind == "stored":
            total += stored(path)
        elif kind == "sleep":
            durably.sleep(rest[0])
        elif rest[0] == "called":
            total += run_plain(rest[1])
        else:
            total += durably.start_workflow(run_plain, rest[1]).get_result()
    return total


@workflow
async def run_awaited(ops: list[Any]) -> int:
    return await do(ops)


async def do(ops: list[Any]) -> int:
    total = 0
    for kind, path, *rest in ops:
        if kind == "step":
            total += await awaited(path)
        elif kind == "stored":
            total += await durably.aio.run_step(stored, path)
        elif kind == "sleep":
            await durably.aio.sleep(rest[0])
        elif kind == "arms":
            total += sum(await durably.aio.gather(*(do(one) for one in rest[0])))
        elif rest[0] == "called":
            total += await run_awaited(rest[1])
        else:
            total += await (await durably.aio.start_workflow(run_awaited, rest[1])).get_result()
    return total
