"""Random programs of steps, transactions, waits, arms and children, which are cancelled and resumed at random moments.

Everything follows from a seed: what a workflow does and returns, and what is done to it. What happens when is left to
chance, as it is in life.
"""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

import durably
from durably import (
    Client,
    Durably,
    Status,
    WorkflowCancelledError,
    WorkflowQuery,
    WorkflowStatus,
    context,
    step,
    transaction,
    workflow,
)
from durably.execution.run import Run
from durably_sqlalchemy import session
from tests.execution.rows import rows

LONG = 60.0
#: A step's body lasts up to this long, and so do the pauses between two things that are done to a workflow (seconds).
BODY, PAUSE = 0.008, 0.06

# -- what workflows do -------------------------------------------------------------------------------------------


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


# -- what is done to them ----------------------------------------------------------------------------------------


@dataclass
class Figures:
    """What was done, all in all."""

    resumes: int = 0
    quiet: int = 0
    cancelled_children: int = 0
    bodies: int = 0
    repeated: int = 0
    transactions: int = 0
    mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **counts: int) -> None:
        with self.mutex:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


class Lifecycle:
    """One workflow, from its start through some cancellations and resumes to its result, with every check."""

    def __init__(self, app: Durably, client: Client, url: str, seed: int, figures: Figures) -> None:
        self._app = app
        self._client = client
        self._url = url
        self._random = random.Random(seed)  # noqa: S311
        self._id = f"life{seed}"
        self._figures = figures
        #: By run id and place: how often a body had begun when it was recorded, and must not begin any more.
        self._recorded: dict[tuple[str, str], int] = {}
        #: By run id and attempt: lives that were resumed while they may still have run. What they were at was lost.
        self._interrupted: set[tuple[str, int]] = set()

    def live(self) -> None:
        asynchronous = self._random.random() < 0.5
        ops = program(self._random, "", 2, asynchronous)
        with self._app.current():
            start: Any = run_awaited if asynchronous else run_plain
            with durably.workflow_options(workflow_id=self._id):
                handle: durably.WorkflowHandle[int] = durably.start_workflow(start, ops)
            for _ in range(self._random.randint(1, 6)):
                time.sleep(self._random.random() * PAUSE)
                if not self._cancel():
                    break
                self._resume()
            assert handle.get_result(timeout_seconds=LONG) == expected(ops)
        self._check_end(ops)

    def _verbs(self) -> Any:
        """From this process, or as if from another one."""
        return self._random.choice([self._app, self._client])

    def _cancel(self) -> bool:
        """Whether that came before its end."""
        children = self._random.random() < 0.5
        self._verbs().cancel_workflow(self._id, children=children)
        if self._client.get_workflow_status(self._id).status is not Status.CANCELLED:
            return False
        with pytest.raises(WorkflowCancelledError):
            self._client.get_result(self._id, timeout_seconds=LONG)
        if self._random.random() < 0.5:
            with pytest.raises(WorkflowCancelledError):
                durably.get_result(self._id, timeout_seconds=LONG)
        self._figures.add(cancelled_children=children)
        return True

    def _resume(self) -> None:
        quiet = self._random.random() < 0.5
        if quiet:
            self._wait_until_quiet()
        family = self._family()
        recorded = {one.run_id: self._places(one.workflow_id) for one in family}
        for one in family:
            begun = BODIES.begun(one.run_id)
            if quiet:
                self._check_all_is_kept(one, begun, recorded[one.run_id])
            elif one.status is Status.CANCELLED:
                self._interrupted.add((one.run_id, one.attempt))
            for place in recorded[one.run_id]:
                self._recorded.setdefault((one.run_id, place), len(begun.get(place, ())))
        self._verbs().resume_workflows([one.workflow_id for one in family])
        self._figures.add(resumes=1, quiet=quiet)

    def _check_all_is_kept(self, one: WorkflowStatus, begun: dict[str, list[int]], recorded: set[str]) -> None:
        """What ran in this life when it was cancelled has ended since, and is recorded."""
        if (one.run_id, one.attempt) in self._interrupted:
            return  # nobody has claimed it since
        lost = [place for place, attempts in begun.items() if one.attempt in attempts and place not in recorded]
        assert not lost, (one, lost, begun)

    def _family(self) -> list[WorkflowStatus]:
        found = self._client.list_workflows(WorkflowQuery(workflow_id_prefix=self._id, limit=1000))
        return [one for one in found if one.workflow_id.partition("-")[0] == self._id]

    def _wait_until_quiet(self) -> None:
        """Until nothing of it runs any more, be it on its own."""
        active = self._app._require().services.active
        end = time.monotonic() + LONG
        family: list[WorkflowStatus] = []
        while True:
            before, family = family, self._family()
            same = len(before) == len(family)  # or else a parent has begun a child meanwhile
            over = all(one.status.is_final for one in family)
            if same and over and not any(active.get(one.workflow_id) or BODIES.run(one.run_id) for one in family):
                return
            assert time.monotonic() < end, f"{self._id} does not stop"
            time.sleep(0.002)

    def _places(self, workflow_id: str) -> set[str]:
        """The places of what is recorded, which are the first ones of each branch."""
        places: dict[str, list[int]] = {}
        for branch, function_id in rows(
            self._url,
            "SELECT branch, function_id FROM durably.operation_outputs WHERE workflow_uuid = ?"
            " AND substr(branch, length(branch), 1) <> '!' ORDER BY branch, function_id",
            (workflow_id,),
        ):
            places.setdefault(branch, []).append(function_id)
        for branch, ids in places.items():
            assert ids == list(range(1, len(ids) + 1)), (workflow_id, branch, ids)
        return {f"{branch}/{one}" if branch else str(one) for branch, ids in places.items() for one in ids}

    def _check_end(self, ops: list[Op]) -> None:
        """Each body ran once, and once more for each life that was resumed while it ran; never after its record."""
        for one in self._family():
            assert one.status is Status.SUCCESS, one
            begun = BODIES.begun(one.run_id)
            assert set(begun) <= self._places(one.workflow_id)
            for place, attempts in begun.items():
                what = f"{place} of {one.workflow_id} began in the lives {attempts}"
                assert len(set(attempts)) == len(attempts), what
                lost = sorted(attempts)[:-1]
                assert all((one.run_id, attempt) in self._interrupted for attempt in lost), what
                assert len(attempts) == self._recorded.get((one.run_id, place), len(attempts)), (
                    f"{what}, once too often"
                )
                self._figures.add(bodies=1, repeated=len(lost))
        effects = rows(
            self._url,
            "SELECT times FROM effects WHERE place LIKE ? OR place LIKE ?",
            (f"{self._id} %", f"{self._id}-%"),
        )
        assert effects == [(1,)] * stored_in(ops)
        self._figures.add(transactions=len(effects))
