"""What is measured, and how: the same for every system, in the process that runs the system's code.

A *subject* is three workflows of one system as plain callables. Sequential latency is taken over a stretch of time by
one caller. Throughput is taken in a steady state: all threads are at work before the window opens, and still at work
when it closes; what ends inside counts.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict

Workflow = Callable[[], int]


@dataclass(frozen=True)
class Subject:
    """One system's three workflows. Each gives the sum of its steps' values, which are 1."""

    one_step: Workflow
    two_steps: Workflow
    ten_steps: Workflow


@dataclass(frozen=True)
class Plan:
    """How long each case runs, in seconds, after how much warming up; and by how many threads."""

    warm_up: float = 0.7
    sequential: float = 1.5
    window: float = 4.0
    threads: tuple[int, ...] = (32, 256)

    def to_json(self) -> str:
        """The plan as an argument of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that ``to_json`` wrote."""
        fields = json.loads(text)
        return cls(fields["warm_up"], fields["sequential"], fields["window"], tuple(fields["threads"]))


#: A smoke run: it shows that everything works, and measures nothing.
QUICK = Plan(warm_up=0.05, sequential=0.1, window=0.2, threads=(4, 8))


class Figures(TypedDict):
    """One case of one system in one round. CPU is the Python process's own, in all its threads."""

    workflows: int
    p50_ms: float
    p99_ms: float
    per_second: float
    cpu_ms: float


def measure(subject: Subject, plan: Plan) -> dict[str, Figures]:
    """Every case of the plan, by name."""
    found = {
        "one step": sequential(_checked(subject.one_step, 1), plan),
        "ten steps": sequential(_checked(subject.ten_steps, 10), plan),
    }
    for count in plan.threads:
        found[threads_case(count)] = concurrent(_checked(subject.two_steps, 2), count, plan)
    return found


def threads_case(count: int) -> str:
    """The name of the case of two-step workflows by ``count`` threads."""
    return f"{count} threads"


def sequential(workflow: Callable[[], None], plan: Plan) -> Figures:
    """One caller, one workflow after the other."""
    _repeat(workflow, plan.warm_up)
    cpu, began = time.process_time(), time.perf_counter()
    seconds = _repeat(workflow, plan.sequential)
    return _figures(seconds, time.perf_counter() - began, time.process_time() - cpu)


def _repeat(workflow: Callable[[], None], duration: float) -> list[float]:
    seconds: list[float] = []
    end = time.perf_counter() + duration
    last = time.perf_counter()
    while last < end:
        workflow()
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
    return seconds


def concurrent(workflow: Callable[[], None], threads: int, plan: Plan) -> Figures:
    """Many callers, each with one workflow after the other; what ends inside the window counts."""
    stop = threading.Event()
    ended: list[list[tuple[float, float]]] = [[] for _ in range(threads)]
    failures: list[BaseException] = []

    def caller(mine: list[tuple[float, float]]) -> None:
        try:
            last = time.perf_counter()
            while not stop.is_set():
                workflow()
                now = time.perf_counter()
                mine.append((now, now - last))
                last = now
        except BaseException as error:
            failures.append(error)
            stop.set()

    callers = [threading.Thread(target=caller, args=(mine,)) for mine in ended]
    for one in callers:
        one.start()
    stop.wait(plan.warm_up)
    opened, cpu = time.perf_counter(), time.process_time()
    stop.wait(plan.window)
    closed, cpu = time.perf_counter(), time.process_time() - cpu
    stop.set()
    for one in callers:
        one.join()
    if failures:
        raise failures[0]
    return _figures([took for mine in ended for at, took in mine if opened <= at < closed], closed - opened, cpu)


def _figures(seconds: list[float], elapsed: float, cpu: float) -> Figures:
    if not seconds:
        raise RuntimeError("no workflow ended in the time of the case; give it longer")
    seconds.sort()
    return Figures(
        workflows=len(seconds),
        p50_ms=percentile(seconds, 0.50) * 1000,
        p99_ms=percentile(seconds, 0.99) * 1000,
        per_second=len(seconds) / elapsed,
        cpu_ms=cpu / len(seconds) * 1000,
    )


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value below which ``part`` of the ordered values are."""
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def _checked(workflow: Workflow, expected: int) -> Callable[[], None]:
    def run() -> None:
        value = workflow()
        if value != expected:
            raise RuntimeError(f"a workflow of {expected} steps gave {value!r}; each step gives 1")

    return run


def tell(version: str, figures: dict[str, Figures]) -> None:
    """Report to the parent: the last line that a worker prints."""
    print(json.dumps({"version": version, "cases": figures}))
    sys.stdout.flush()
