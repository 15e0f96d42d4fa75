"""Lifecycles: random programs that are cancelled and resumed at random moments, with every check.

What is done follows from a seed. What happens when is left to chance, as it is in life.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

import durably
from durably import (
    Client,
    Durably,
    Status,
    WorkflowCancelledError,
    WorkflowQuery,
    WorkflowStatus,
)
from tests.execution.rows import rows
from tests.executors.lifecycle_programs import BODIES, Op, expected, program, run_awaited, run_plain, stored_in

LONG = 60.0
#: The pauses between two things that are done to a workflow last up to this long (seconds).
PAUSE = 0.06


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
