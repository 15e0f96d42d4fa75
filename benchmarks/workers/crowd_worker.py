"""Many workflows that wait at once, in one process: what each costs. ``… crowd_worker URL WHAT FORM COUNT SECONDS``"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import durably
from durably import aio

#: Those that wait before the first measurement, so that what one costs is not what the first one costs.
FIRST = 20
#: Starts that are under way at once.
AT_ONCE = 200


@durably.workflow
def sleeping() -> None:
    """Sleeps beyond the measurement."""
    durably.sleep(3600)


@durably.workflow
def receiving() -> None:
    """Receives what does not come."""
    durably.recv(timeout_seconds=3600)


@durably.workflow
async def sleeping_async() -> None:
    """Sleeps beyond the measurement."""
    await aio.sleep(3600)


@durably.workflow
async def receiving_async() -> None:
    """Receives what does not come."""
    await aio.recv(timeout_seconds=3600)


WORKFLOWS: dict[tuple[str, str], Any] = {
    ("asleep", "sync"): sleeping,
    ("receiving", "sync"): receiving,
    ("asleep", "async"): sleeping_async,
    ("receiving", "async"): receiving_async,
}


def resident() -> int:
    """How much memory the process has (bytes)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(app: durably.Durably, count: int, seconds: float, before: tuple[int, int], began: float) -> None:
    """Once all wait: the figures, as the last line, and the end."""
    assert app._launched is not None
    runs = app._launched.services.active.runs
    while sum(run.waiting for run in runs()) < FIRST + count:
        time.sleep(0.02)
    started = time.perf_counter() - began
    time.sleep(2.0)  # ends of waits are written down after a second
    cpu = time.process_time()
    time.sleep(seconds)
    cpu = time.process_time() - cpu
    figures = {
        "kilobytes_each": (resident() - before[0]) / count / 1024,
        "threads": threading.active_count(),
        "more_threads": threading.active_count() - before[1],
        "started_per_second": count / started,
        "cpu_percent": cpu / seconds * 100,
    }
    print(json.dumps(figures), flush=True)
    os._exit(0)


def wait_for(app: durably.Durably, count: int) -> tuple[int, int]:
    """Memory and threads once the first ones wait."""
    assert app._launched is not None
    runs = app._launched.services.active.runs
    while sum(run.waiting for run in runs()) < count:
        time.sleep(0.02)
    time.sleep(0.5)
    return resident(), threading.active_count()


def sync(url: str, function: Any, count: int, seconds: float) -> None:
    """Plain functions."""
    with durably.Durably("crowd", system_database_url=url) as app:
        for _ in range(FIRST):
            durably.start_workflow(function)
        before = wait_for(app, FIRST)
        began = time.perf_counter()
        for _ in range(count):
            durably.start_workflow(function)
        measure(app, count, seconds, before, began)


async def awaited(url: str, function: Any, count: int, seconds: float) -> None:
    """Coroutines, on one loop."""
    async with durably.Durably("crowd", system_database_url=url) as app:
        await asyncio.gather(*(aio.start_workflow(function) for _ in range(FIRST)))
        before = await asyncio.to_thread(wait_for, app, FIRST)
        began = time.perf_counter()
        for place in range(0, count, AT_ONCE):
            await asyncio.gather(*(aio.start_workflow(function) for _ in range(min(AT_ONCE, count - place))))
        await asyncio.to_thread(measure, app, count, seconds, before, began)


def main(url: str, what: str, form: str, count: str, seconds: str) -> None:
    """Measure, and report."""
    function = WORKFLOWS[what, form]
    if form == "async":
        asyncio.run(awaited(url, function, int(count), float(seconds)))
    else:
        sync(url, function, int(count), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
