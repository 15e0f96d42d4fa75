"""What the workflows of the talking program do, as data: the ids they have, the calls they record, what they return.

A round runs some *parts*. Each part has one or two workflows that are started from outside, whose ids are
``{round}-{role}``; all others are their children. The program follows this plan, the oracle checks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: How often each workflow does what it does, how many messages come to each talker from outside, and how many arms
#: a gather has.
TURNS, OUTSIDE, ARMS = 6, 3, 3
#: Stands for the token of a step's body, for a time, or for a random id.
ANYTHING = object()

#: The workflows of each part, in the order in which they must be started: who is sent to before who sends first.
PARTS: Mapping[str, tuple[str, ...]] = {
    "talk": ("talk1", "talk0"),
    "family": ("family",),
    "control": ("control",),
    "copies": ("copies",),
    "late": ("late",),
    "notes": ("notes",),
    "arms": ("arms",),
}
#: Parts that only the awaited form has.
ONLY_AWAITED = ("arms",)

_CHILD = ("note",)
_SPEAK = ("send", "send_bulk", "set_event", "write_stream")
_HEAR = ("recv", "recv", "recv")
_END = ("close_stream", *["recv"] * OUTSIDE)

#: What each workflow records, in order, by its role; functions by their bare names, verbs without ``durably.``.
CALLS: Mapping[str, tuple[str, ...]] = {
    "talk0": (*[*_SPEAK, *_HEAR, "shout"] * TURNS, *_END),
    "talk1": (*[*_HEAR, *_SPEAK, "shout"] * TURNS, *_END),
    "family": ("start_workflow", "start_workflow", "child", "wait_first", "wait_all") * TURNS,
    "control": ("start_workflow", "get_event", "cancel", "get_workflow_status", "resume", "send", "get_result") * TURNS,
    "copies": ("start_workflow", "get_result", "fork", "attributes", "delete", "get_result") * TURNS,
    "late": ("start_workflow", "get_result") * TURNS,
    "notes": (
        "start_workflow",
        *[
            *("now", "uuid", "sleep", "patch", "set_event", "get_event", "get_all_events", "write_stream"),
            *("read_stream", "recv", "send", "get_result", "wait_first", "wait_all", "get_workflow_status"),
        ]
        * TURNS,
    ),
    "arms": (),
    "child": _CHILD,
    "victim": ("note", "set_event", "recv"),
    "source": ("note", "set_event", "write_stream", "close_stream"),
    "sleeper": ("sleep",),
}


#: What is recorded in the arms of gathers, by branch; that of ``arms`` comes before its first call.
ARM_CALLS: Mapping[str, tuple[str, ...]] = {
    f"0.{turn + 1}.{number}": ("note", "write_stream", "sleep", "child")
    for turn in range(TURNS)
    for number in range(ARMS)
}


class Expected(NamedTuple):
    """One workflow after all is over. ``output``: what it returned, tokens and the like being ANYTHING."""

    role: str
    status: str = "SUCCESS"
    output: Any = None
    parent: str | None = None
    #: Topic → its messages in order, all of them received.
    messages: Mapping[str, Sequence[Any]] = {}
    events: Mapping[str, Any] = {}
    #: Key → its values in order, and whether it was closed.
    streams: Mapping[str, tuple[Sequence[Any], bool]] = {}
    attributes: Mapping[str, Any] | None = None
    forked_from: str | None = None


def started(parts: Sequence[str], name: str) -> list[str]:
    """The ids of the workflows that are started from outside, in the order of their start."""
    return [f"{name}-{role}" for part in parts for role in PARTS[part]]


def role_of(workflow_id: str) -> str:
    """The role of a workflow that is started from outside."""
    return workflow_id.rpartition("-")[2]


def peer_of(workflow_id: str) -> str:
    """Whom a talker talks with."""
    return f"{workflow_id[:-1]}{1 - int(workflow_id[-1])}"


def calls_of(role: str) -> dict[str, tuple[str, ...]]:
    """What is recorded in each branch."""
    return {"": CALLS[role], **(ARM_CALLS if role == "arms" else {})}


def places(role: str, call: str) -> list[int]:
    """The function ids of a call in a workflow of that role."""
    return [place for place, name in enumerate(CALLS[role], 1) if name == call]


# -- what is to be found at the end ------------------------------------------------------------------------------


def expected(workflow_ids: Sequence[str]) -> dict[str, Expected]:
    """Every workflow that there must be, by id, for those that were started from outside. There are no others."""
    found: dict[str, Expected] = {}
    for workflow_id in workflow_ids:
        role = role_of(workflow_id)
        found.update(_OF[role](workflow_id))
    return found


def _talk(me: str) -> dict[str, Expected]:
    peer = peer_of(me)
    said = [[peer, turn] for turn in range(TURNS)]
    bulk = [["bulk", turn, number] for turn in range(TURNS) for number in range(2)]
    outside = [["outside", number] for number in range(OUTSIDE)]
    heard = [one for turn in range(TURNS) for one in (said[turn], bulk[2 * turn], bulk[2 * turn + 1])]
    stream = [[who, turn] for turn in range(TURNS) for who in ("workflow", "step", "step again")]
    return {
        me: Expected(
            role_of(me),
            output=[*heard, *outside],
            messages={"talk": said, "bulk": bulk, "outside": outside},
            events={"turn": TURNS - 1, "shouted": TURNS - 1},
            streams={"talk": (stream, True)},
        )
    }


def _child(parent: str, place: int, number: int) -> tuple[str, Expected]:
    return f"{parent}-{place}", Expected("child", output=[ANYTHING, number], parent=parent)


def _family(me: str) -> dict[str, Expected]:
    starts, calls = places("family", "start_workflow"), places("family", "child")
    children = dict(_child(me, place, number % 2) for number, place in enumerate(starts))
    children.update(_child(me, place, turn) for turn, place in enumerate(calls))
    turns = [[[ANYTHING, turn], [[ANYTHING, 0], [ANYTHING, 1]], True] for turn in range(TURNS)]
    return {me: Expected("family", output=turns), **children}


def _control(me: str) -> dict[str, Expected]:
    victims = {
        f"{me}-{place}": Expected(
            "victim",
            output=[ANYTHING, ["go", turn]],
            parent=me,
            messages={"go": [["go", turn]]},
            events={"ready": turn},
        )
        for turn, place in enumerate(places("control", "start_workflow"))
    }
    turns = [[turn, "CANCELLED", [ANYTHING, ["go", turn]]] for turn in range(TURNS)]
    return {me: Expected("control", output=turns), **victims}


def _copies(me: str) -> dict[str, Expected]:
    sources, forks = places("copies", "start_workflow"), places("copies", "fork")
    copies = {
        f"{me}-{place}": Expected(
            "source",
            output=[ANYTHING, turn],
            events={"mark": turn},
            streams={"s": ([turn], True)},
            attributes={"turn": turn},
            forked_from=f"{me}-{sources[turn]}",
        )
        for turn, place in enumerate(forks)
    }
    turns = [[f"{me}-{place}", [ANYTHING, turn], [ANYTHING, turn]] for turn, place in enumerate(forks)]
    return {me: Expected("copies", output=turns), **copies}


def _late(me: str) -> dict[str, Expected]:
    sleepers = {
        f"{me}-{place}": Expected("sleeper", "CANCELLED", parent=me) for place in places("late", "start_workflow")
    }
    return {me: Expected("late", output=["cancelled"] * TURNS), **sleepers}


def _notes(me: str) -> dict[str, Expected]:
    value = [ANYTHING, 0]
    turns = [
        [*[ANYTHING] * 2, True, turn, {"n": turn}, turn, None, "nobody", value, f"{me}-1", [value], "SUCCESS"]
        for turn in range(TURNS)
    ]
    return {
        me: Expected(
            "notes",
            output=turns,
            events={"n": TURNS - 1},
            streams={"s": (list(range(TURNS)), False)},
        ),
        **dict([_child(me, 1, 0)]),
    }


def _arms(me: str) -> dict[str, Expected]:
    children = {
        f"{me}-{branch}-4": Expected("child", output=[ANYTHING, int(branch.split(".")[1]) - 1], parent=me)
        for branch in ARM_CALLS
    }
    turns = [[[ANYTHING, [ANYTHING, turn]] for _ in range(ARMS)] for turn in range(TURNS)]
    streams = {f"arm{number}": (list(range(TURNS)), False) for number in range(ARMS)}
    return {me: Expected("arms", output=turns, streams=streams), **children}


_OF = {
    "talk0": _talk,
    "talk1": _talk,
    "family": _family,
    "control": _control,
    "copies": _copies,
    "late": _late,
    "notes": _notes,
    "arms": _arms,
}


def fits(value: Any, pattern: Any) -> bool:
    """Whether a value is what is expected, ANYTHING standing for anything."""
    if pattern is ANYTHING:
        return value is not None
    if isinstance(pattern, list):
        return isinstance(value, list) and len(value) == len(pattern) and all(map(fits, value, pattern))
    if isinstance(pattern, dict):
        return (
            isinstance(value, dict)
            and value.keys() == pattern.keys()
            and all(fits(value[k], pattern[k]) for k in pattern)
        )
    return bool(value == pattern)
