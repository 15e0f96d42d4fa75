"""DBOS's speaker, with its default settings. ``python -m benchmarks.workers.talking_dbos URL``"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from importlib.metadata import version
from typing import Any

from dbos import DBOS, SetWorkflowID

from benchmarks.talking import Kind, serve
from benchmarks.workers.speaking import GATES, SpeakerBase


@DBOS.workflow()  # type: ignore[untyped-decorator]
def receiver() -> int:
    """Receives one message; how old it was."""
    sent = DBOS.recv(timeout_seconds=60)
    return time.monotonic_ns() - int(sent)


@DBOS.workflow()  # type: ignore[untyped-decorator]
def setter(name: str) -> None:
    """Sets an event."""
    GATES[name].wait()
    DBOS.set_event("moment", time.monotonic_ns())


@DBOS.workflow()  # type: ignore[untyped-decorator]
def returner(name: str) -> int:
    """Ends when it is told to."""
    GATES[name].wait()
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


class Dbos(SpeakerBase):
    """See ``benchmarks.talking.Speaker``."""

    def version(self) -> str:
        return version("dbos")

    def started(self, workflow_id: str, workflow: Any, *arguments: object) -> Any:
        with SetWorkflowID(workflow_id):
            return DBOS.start_workflow(workflow, *arguments)

    def known(self, kind: Kind, name: str) -> int:
        if kind == "message":
            with SetWorkflowID(name):
                return int(receiver())
        if kind == "event":
            return int(DBOS.get_event(name, "moment", 60))
        return int(DBOS.retrieve_workflow(name).get_result())

    def send(self, name: str, moment: int) -> None:
        DBOS.send(name, moment)

    def parent_at_once(self, children: int) -> int:
        return int(asyncio.run(parent_at_once(children)))


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
    serve(Dbos(setter=setter, returner=returner, parent=parent, player=player))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
