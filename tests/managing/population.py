"""A crowd of workflow rows, written past the engine, and a model in Python of what a query finds in it."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from durably import Status, WorkflowQuery
from durably.ledger.attributes import contains
from tests.execution.rows import rows

APPLICATION = "crowd"
NAMES = ("shop.place", "shop.ship", "o'brien", "50%", "what?", ":name")
VERSIONS = (None, "1", "2")
EXECUTORS = (None, "e1", "e2")
QUEUES = (None, "mails", "q'")
USERS = (None, "ann", "b%b")
PREFIXES = ("a", "a%", "a_", "b'", "\u00e9", "\U0001f9f5")
#: Milliseconds since the epoch; few enough that many workflows share one.
TIMES = tuple(1_700_000_000_000 + number * 500 for number in range(6))
ATTRIBUTES = (None, {"n": 1}, {"n": 1, "m": [1, 2]}, {"n": True}, {"t": "it's ?"})


@dataclass(frozen=True)
class Row:
    """The columns of a workflow that queries look at."""

    workflow_id: str
    status: Status
    name: str
    application_name: str
    application_version: str | None
    executor_id: str | None
    queue_name: str | None
    created_at: int
    started_at: int | None
    completed_at: int | None
    parent_workflow_id: str | None
    forked_from: str | None
    user: str | None
    attributes: dict[str, Any] | None

    @property
    def place(self) -> tuple[int, bytes]:
        """What lists are sorted by: ids by their bytes."""
        return self.created_at, self.workflow_id.encode()


def row(random_: random.Random, number: int) -> Row:
    """One workflow, made up."""
    return Row(
        workflow_id=f"{random_.choice(PREFIXES)}{number}",
        status=random_.choice(list(Status)),
        name=random_.choice(NAMES),
        application_name=APPLICATION if random_.random() < 0.9 else "elsewhere",
        application_version=random_.choice(VERSIONS),
        executor_id=random_.choice(EXECUTORS),
        queue_name=random_.choice(QUEUES),
        created_at=random_.choice(TIMES),
        started_at=random_.choice((None, *TIMES)),
        completed_at=random_.choice((None, *TIMES)),
        parent_workflow_id=random_.choice((None, None, "a1", "b'2")),
        forked_from=random_.choice((None, None, "a1", "a%3")),
        user=random_.choice(USERS),
        attributes=random_.choice(ATTRIBUTES),
    )


def chance(seed: int) -> random.Random:
    """Chance that can be repeated."""
    return random.Random(seed)  # noqa: S311


def crowd(seed: int, size: int) -> list[Row]:
    """Many of them."""
    random_ = chance(seed)
    return [row(random_, number) for number in range(size)]


COLUMNS = (
    "workflow_uuid, status, name, application_name, application_version, executor_id, queue_name, created_at,"
    " started_at_epoch_ms, completed_at, parent_workflow_id, forked_from, authenticated_user, attributes, run_id,"
    " attempt"
)


def insert(system_url: str, written: list[Row]) -> None:
    """Write the rows."""
    marks = ", ".join(["?"] * 13)
    text = "?" if system_url.startswith("sqlite") else "CAST(? AS jsonb)"
    params: list[Any] = []
    for one in written:
        values = list(vars(one).values())
        values[1] = one.status.value
        values[-1] = None if one.attributes is None else json.dumps(one.attributes)
        params += values
    values_sql = ", ".join([f"({marks}, {text}, 'r', 0)"] * len(written))
    rows(system_url, f"INSERT INTO durably.workflow_status ({COLUMNS}) VALUES {values_sql}", params)


def remove(system_url: str, workflow_id: str) -> None:
    """Delete one row."""
    rows(system_url, "DELETE FROM durably.workflow_status WHERE workflow_uuid = ?", (workflow_id,))


# -- the model ---------------------------------------------------------------------------------------------------

_LISTS = {
    "workflow_ids": "workflow_id",
    "statuses": "status",
    "names": "name",
    "application_versions": "application_version",
    "executor_ids": "executor_id",
    "queue_names": "queue_name",
    "users": "user",
    "parent_workflow_ids": "parent_workflow_id",
    "forked_from": "forked_from",
}
_THERE = {"has_parent": "parent_workflow_id", "has_queue": "queue_name", "is_fork": "forked_from"}


def matches(query: WorkflowQuery, one: Row) -> bool:
    """Whether a query finds a row, its page apart."""
    return (
        (query.every_application or one.application_name == APPLICATION)
        and all(
            getattr(query, name) is None or getattr(one, field) in getattr(query, name)
            for name, field in _LISTS.items()
        )
        and all(
            getattr(query, name) is None or (getattr(one, field) is not None) is getattr(query, name)
            for name, field in _THERE.items()
        )
        and (query.workflow_id_prefix is None or one.workflow_id.startswith(query.workflow_id_prefix))
        and all(_in_time(query, one, name) for name in ("created", "started", "completed"))
        and (
            not query.attributes
            or contains(None if one.attributes is None else json.dumps(one.attributes), json.dumps(query.attributes))
        )
    )


def _in_time(query: WorkflowQuery, one: Row, name: str) -> bool:
    at = getattr(one, f"{name}_at")
    after, before = getattr(query, f"{name}_after"), getattr(query, f"{name}_before")
    if after is None and before is None:
        return True
    if at is None:
        return False
    return (after is None or at >= after.timestamp() * 1000) and (before is None or at < before.timestamp() * 1000)


def listed(query: WorkflowQuery, everyone: list[Row]) -> list[str]:
    """The ids that a query finds, in order."""
    found = sorted((one for one in everyone if matches(query, one)), key=lambda one: one.place)
    return [one.workflow_id for one in (reversed(found) if query.newest_first else found)]


def counted(query: WorkflowQuery, everyone: list[Row], group_by: list[str]) -> dict[tuple[str | None, ...], int]:
    """How many a query finds, by group."""
    found = [one for one in everyone if matches(query, one)]
    if not group_by:
        return {(): len(found)}
    return dict(Counter(tuple(_text(getattr(one, name)) for name in group_by) for one in found))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
