"""What one process of a crash test is to do, as data that travels to it as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from typing_extensions import Self

#: ``work``: start the workflows and wait for them; ``leave``: only start them, for others; ``recover``: start nothing.
Role = Literal["work", "leave", "recover"]


#: How a process ends that did all it was asked to, and one that waited in vain.
DONE, STUCK = 0, 4


@dataclass(frozen=True)
class Pass:
    """The ``nth`` time that a process comes by a crash point."""

    point: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.point}#{self.nth}"


@dataclass(frozen=True)
class Spec:
    """One process. ``orm``: a module of ``applications``. ``asynchronous``: the half of it that awaits.

    ``kill`` and ``stop``: SIGKILL or SIGSTOP itself there. ``stop_in_step``: SIGSTOP itself in the first step's body of
    that workflow. ``hold_in_step``: stay in that body until the file ``release`` exists. ``mutant``: see ``mutants``.
    """

    system_url: str
    application_url: str
    workflow_ids: tuple[str, ...]
    log: str
    role: Role = "work"
    orm: str = "sqlalchemy"
    asynchronous: bool = False
    threads: int = 2
    lease_seconds: float = 10.0
    wait_seconds: float = 30.0
    kill: Pass | None = None
    stop: Pass | None = None
    stop_in_step: str | None = None
    hold_in_step: str | None = None
    release: str | None = None
    mutant: str | None = None
    #: The module whose ``run`` the process calls.
    program: str = "tests.crash.program"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The reverse of ``to_json``."""
        values: dict[str, Any] = json.loads(line)
        values["workflow_ids"] = tuple(values["workflow_ids"])
        for name in ("kill", "stop"):
            values[name] = Pass(**values[name]) if values[name] is not None else None
        return cls(**values)

    def but(self, **changes: Any) -> Self:
        """The same with changes."""
        return replace(self, **changes)
