"""What the speakers of all systems do alike, each by its own system's verbs: see ``benchmarks.talking.Speaker``."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Any
from uuid import uuid4

from benchmarks.talking import Kind

#: What a workflow waits for until it is told to go on, by the workflow's name.
GATES: dict[str, threading.Event] = {}


class SpeakerBase(ABC):
    """A system gives its workflows, written as its users would, and its verbs."""

    def __init__(self, *, setter: Any, returner: Any, parent: Any, player: Any) -> None:
        self.setter, self.returner, self.parent, self.player = setter, returner, parent, player

    @abstractmethod
    def started(self, workflow_id: str, workflow: Any, *arguments: object) -> Any:
        """A workflow under that id, in the background; its handle."""

    @abstractmethod
    def known(self, kind: Kind, name: str) -> int:
        """Wait for it, and give its moment; of a message, how old it was when it came."""

    @abstractmethod
    def send(self, name: str, moment: int) -> None:
        """Send a message."""

    @abstractmethod
    def parent_at_once(self, children: int) -> int:
        """Call the workflow that starts coroutines all at once."""

    def prepare(self, kind: Kind, name: str) -> None:
        """The workflow that will make it happen is under way, and stands still."""
        if kind != "message":
            GATES[name] = threading.Event()
            self.started(name, self.setter if kind == "event" else self.returner, name)

    def wait(self, kind: Kind, name: str) -> int:
        """How long after it happened it was known."""
        value = self.known(kind, name)
        return value if kind == "message" else time.monotonic_ns() - value

    def tell(self, kind: Kind, name: str) -> None:
        """It happens."""
        if kind == "message":
            self.send(name, time.monotonic_ns())
        else:
            GATES[name].set()

    def fan_out(self, children: int) -> float:
        """One by one."""
        began = time.perf_counter()
        assert self.parent(children) == _sum(children)
        return time.perf_counter() - began

    def fan_out_at_once(self, children: int) -> float:
        """All at once."""
        began = time.perf_counter()
        assert self.parent_at_once(children) == _sum(children)
        return time.perf_counter() - began

    def ping_pong(self, turns: int) -> float:
        """Two workflows; who is sent to first is started first."""
        names = [str(uuid4()), str(uuid4())]
        began = time.perf_counter()
        handles = [self.started(names[place], self.player, names[1 - place], turns, place == 0) for place in (1, 0)]
        assert [handle.get_result() for handle in handles] == [turns, turns]
        return time.perf_counter() - began


def _sum(children: int) -> int:
    return children * (children - 1) // 2
