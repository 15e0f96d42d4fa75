"""Durably's speaker, with its default settings. ``python -m benchmarks.workers.talking_durably URL``"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import durably
from benchmarks.talking import Kind, serve
from benchmarks.workers.speaking import GATES, SpeakerBase
from durably import aio


@durably.workflow
def receiver() -> int:
    """Receives one message; how old it was."""
    sent = durably.recv(timeout_seconds=60)
    return time.monotonic_ns() - int(sent)


@durably.workflow
def setter(name: str) -> None:
    """Sets an event."""
    GATES[name].wait()
    durably.set_event("moment", time.monotonic_ns())


@durably.workflow
def returner(name: str) -> int:
    """Ends when it is told to."""
    GATES[name].wait()
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


class Durably(SpeakerBase):
    """See ``benchmarks.talking.Speaker``."""

    def version(self) -> str:
        return durably.__version__

    def started(self, workflow_id: str, workflow: Any, *arguments: object) -> Any:
        with durably.workflow_options(workflow_id=workflow_id):
            return durably.start_workflow(workflow, *arguments)

    def known(self, kind: Kind, name: str) -> int:
        if kind == "message":
            with durably.workflow_options(workflow_id=name):
                return receiver()
        if kind == "event":
            return int(durably.get_event(name, "moment", timeout_seconds=60))
        return int(durably.get_result(name, timeout_seconds=60))

    def send(self, name: str, moment: int) -> None:
        durably.send(name, moment)

    def parent_at_once(self, children: int) -> int:
        return durably.start_workflow(parent_at_once, children).get_result()


def main(url: str) -> None:
    """Serve until there are no more calls."""
    with durably.Durably("benchmark", system_database_url=url):
        serve(Durably(setter=setter, returner=returner, parent=parent, player=player))
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
