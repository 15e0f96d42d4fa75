"""One ORM's plain transactions beside Durably's, turn by turn in one process; prints the seconds of each.

``python -m benchmarks.workers.transactions_worker MODULE URL PAIRS``, with a module of ``benchmarks.orms``.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import time
from importlib.metadata import version
from typing import Any

import durably
from benchmarks.orms import Orm
from durably import Durably

#: Pairs that are not counted.
WARM_UP = 50

_orm: Orm


@durably.transaction
def write() -> int:
    """The ORM's insert."""
    _orm.insert()
    return 1


@durably.workflow
def alternate(pairs: int) -> list[list[float]]:
    """Plain and durable transactions by turns; their seconds."""
    plain: list[float] = []
    durable: list[float] = []
    for number in range(pairs):
        for run, seconds in ((_orm.plain, plain), (write, durable))[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - began)
    return [plain, durable]


@durably.transaction(adapter="awaited")
async def write_async() -> int:
    """The ORM's insert, awaited."""
    await _orm.insert()
    return 1


@durably.workflow
async def alternate_async(pairs: int) -> list[list[float]]:
    """The same, awaited."""
    plain: list[float] = []
    durable: list[float] = []
    for number in range(pairs):
        for run, seconds in ((_orm.plain, plain), (write_async, durable))[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            await run()
            seconds.append(time.perf_counter() - began)
    return [plain, durable]


def _app(url: str, adapter: str) -> Durably:
    return Durably("bench", system_database_url=url, adapters={adapter: _orm.adapter})


def _run(module: Any, url: str, pairs: int) -> list[list[float]]:
    global _orm
    with module.opened(url) as _orm, _app(url, "default"):
        alternate(WARM_UP)
        return alternate(pairs)


async def _run_async(module: Any, url: str, pairs: int) -> list[list[float]]:
    global _orm
    async with module.opened(url) as _orm, _app(url, "awaited"):
        await alternate_async(WARM_UP)
        return await alternate_async(pairs)


def main(name: str, url: str, pairs: int) -> None:
    """Measure, and print one line of JSON."""
    module = importlib.import_module(f"benchmarks.orms.{name}")
    if inspect.isasyncgenfunction(inspect.unwrap(module.opened)):
        plain, durable = asyncio.run(_run_async(module, url, pairs))
    else:
        plain, durable = _run(module, url, pairs)
    told = {"name": _orm.name, "version": version(_orm.package), "plain": plain, "durable": durable}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
