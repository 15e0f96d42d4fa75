"""Durably's speaker, with its default settings. ``python -m benchmarks.workers.talking_durably URL``"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from uuid import uuid4

import durably
from benchmarks.talking import Kind, serve
from durably import aio

_gates: dict[str, threading.Event] = {}


@durably.workflow
def receiver() -> int:
    """Receives one message; how old it was."""
    sent = durably.recv(timeout_seconds=60)
    return time.monotonic_ns() - int(sent)


@durably.workflow
def setter(name: str) -> None:
    """Sets an event."""
    _gates[name].wait()
    durably.set_event("moment", time.monotonic_ns())


@durably.workflow
def returner(name: str) -> int:
    """Ends when it is told to."""
    _gates[name].wait()
    return time.monotonic_ns()


@durably.workflow
def child(number: int) -> int:
    """One of many."""
    return number


@durably.workflow
def parent(children: int) -> int:
    """Starts them all, and joins them."""
    handles = [durably.start_workflow(child, number) for number in range(children)]
    return sum(handle.get_result() for handle in handles)


@durably.workflow
async def child_at_once(number: int) -> int:
    """One of many."""
    return number


@durably.workflow
async def parent_at_once(children: int) -> int:
    """Starts them all at once, and joins them."""
    handles = await aio.gather(*(aio.start_workflow(child_at_once, number) for number in range(children)))
    return sum(await aio.wait_all(handles))


@durably.workflow
def player(peer: str, turns: int, serves: bool) -> int:
    """Sends and receives in turns."""
    for turn in range(turns):
        if serves or turn:
            durably.send(peer, turn)
        assert durably.recv(timeout_seconds=60) is not None
    if not serves:
        durably.send(peer, turns)
    return turns


class Durably:
    """See ``benchmarks.talking.Speaker``."""

    def version(self) -> str:
        return durably.__version__

    def prepare(self, kind: Kind, name: str) -> None:
        if kind != "message":
            _gates[name] = threading.Event()
            with durably.workflow_options(workflow_id=name):
                durably.start_workflow(setter if kind == "event" else returner, name)

    def wait(self, kind: Kind, name: str) -> int:
        if kind == "message":
            with durably.workflow_options(workflow_id=name):
                return receiver()
        wait = partial(durably.get_event, key="moment") if kind == "event" else durably.get_result
        value = wait(name, timeout_seconds=60)
        return time.monotonic_ns() - int(value)

    def tell(self, kind: Kind, name: str) -> None:
        if kind == "message":
            durably.send(name, time.monotonic_ns())
        else:
            _gates[name].set()

    def fan_out(self, children: int) -> float:
        began = time.perf_counter()
        assert parent(children) == children * (children - 1) // 2
        return time.perf_counter() - began

    def fan_out_at_once(self, children: int) -> float:
        began = time.perf_counter()
        assert durably.start_workflow(parent_at_once, children).get_result() == children * (children - 1) // 2
        return time.perf_counter() - began

    def ping_pong(self, turns: int) -> float:
        names = [str(uuid4()), str(uuid4())]
        began = time.perf_counter()
        handles = []
        for place in (1, 0):
            with durably.workflow_options(workflow_id=names[place]):
                handles.append(durably.start_workflow(player, names[1 - place], turns, place == 0))
        assert [handle.get_result() for handle in handles] == [turns, turns]
        return time.perf_counter() - began


def main(url: str) -> None:
    """Serve until there are no more calls."""
    with durably.Durably("benchmark", system_database_url=url):
        serve(Durably())
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
