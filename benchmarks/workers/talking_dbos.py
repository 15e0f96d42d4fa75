"""DBOS's speaker, with its default settings. ``python -m benchmarks.workers.talking_dbos URL``"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from importlib.metadata import version
from uuid import uuid4

from dbos import DBOS, SetWorkflowID

from benchmarks.talking import Kind, serve

_gates: dict[str, threading.Event] = {}


@DBOS.workflow()  # type: ignore[untyped-decorator]
def receiver() -> int:
    """Receives one message; how old it was."""
    sent = DBOS.recv(timeout_seconds=60)
    return time.monotonic_ns() - int(sent)


@DBOS.workflow()  # type: ignore[untyped-decorator]
def setter(name: str) -> None:
    """Sets an event."""
    _gates[name].wait()
    DBOS.set_event("moment", time.monotonic_ns())


@DBOS.workflow()  # type: ignore[untyped-decorator]
def returner(name: str) -> int:
    """Ends when it is told to."""
    _gates[name].wait()
    return time.monotonic_ns()


@DBOS.workflow()  # type: ignore[untyped-decorator]
def child(number: int) -> int:
    """One of many."""
    return number


@DBOS.workflow()  # type: ignore[untyped-decorator]
def parent(children: int) -> int:
    """Starts them all, and joins them."""
    handles = [DBOS.start_workflow(child, number) for number in range(children)]
    return sum(int(handle.get_result()) for handle in handles)


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def child_at_once(number: int) -> int:
    """One of many."""
    return number


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def parent_at_once(children: int) -> int:
    """Starts them all at once, and joins them."""
    starts = [DBOS.start_workflow_async(child_at_once, number) for number in range(children)]
    handles = await asyncio.gather(*starts)
    return sum(await asyncio.gather(*(handle.get_result() for handle in handles)))


@DBOS.workflow()  # type: ignore[untyped-decorator]
def player(peer: str, turns: int, serves: bool) -> int:
    """Sends and receives in turns."""
    for turn in range(turns):
        if serves or turn:
            DBOS.send(peer, turn)
        assert DBOS.recv(timeout_seconds=60) is not None
    if not serves:
        DBOS.send(peer, turns)
    return turns


class Dbos:
    """See ``benchmarks.talking.Speaker``."""

    def version(self) -> str:
        return version("dbos")

    def prepare(self, kind: Kind, name: str) -> None:
        if kind != "message":
            _gates[name] = threading.Event()
            with SetWorkflowID(name):
                DBOS.start_workflow(setter if kind == "event" else returner, name)

    def wait(self, kind: Kind, name: str) -> int:
        if kind == "message":
            with SetWorkflowID(name):
                return int(receiver())
        value = DBOS.get_event(name, "moment", 60) if kind == "event" else DBOS.retrieve_workflow(name).get_result()
        return time.monotonic_ns() - int(value)

    def tell(self, kind: Kind, name: str) -> None:
        if kind == "message":
            DBOS.send(name, time.monotonic_ns())
        else:
            _gates[name].set()

    def fan_out(self, children: int) -> float:
        began = time.perf_counter()
        assert parent(children) == children * (children - 1) // 2
        return time.perf_counter() - began

    def fan_out_at_once(self, children: int) -> float:
        began = time.perf_counter()
        assert asyncio.run(parent_at_once(children)) == children * (children - 1) // 2
        return time.perf_counter() - began

    def ping_pong(self, turns: int) -> float:
        names = [str(uuid4()), str(uuid4())]
        began = time.perf_counter()
        handles = []
        for place in (1, 0):
            with SetWorkflowID(names[place]):
                handles.append(DBOS.start_workflow(player, names[1 - place], turns, place == 0))
        assert [handle.get_result() for handle in handles] == [turns, turns]
        return time.perf_counter() - began


def main(url: str) -> None:
    """Serve until there are no more calls."""
    # Logging apart, and who it is, these are the defaults.
    executor = f"worker-{os.getpid()}"
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": url,
            "log_level": "ERROR",
            "executor_id": executor,
            "application_version": "1",
        }
    )
    DBOS.launch()
    serve(Dbos())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
