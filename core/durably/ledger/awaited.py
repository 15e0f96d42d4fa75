"""One look for everything that a process waits for: one statement for each kind of news."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from durably.ledger.backend import Session
from durably.ledger.news import Kind, Wanted

# Each gives the workflow id and the detail of what is there, for the workflows that are asked for.
_FOUND: dict[Kind, str] = {
    Kind.MESSAGE: (
        "SELECT DISTINCT destination_uuid, topic, 0 FROM {t}notifications"
        " WHERE NOT consumed AND destination_uuid IN ({in_json})"
    ),
    Kind.EVENT: "SELECT workflow_uuid, key, 0 FROM {t}workflow_events WHERE workflow_uuid IN ({in_json})",
    Kind.STREAM: (
        'SELECT workflow_uuid, key, max("offset") FROM {t}streams WHERE workflow_uuid IN ({in_json})'
        " GROUP BY workflow_uuid, key"
    ),
    Kind.OUTCOME: (
        "SELECT workflow_uuid, '', 0 FROM {t}workflow_status WHERE workflow_uuid IN ({in_json})"
        " AND status NOT IN ('ENQUEUED', 'DELAYED', 'PENDING')"
    ),
}
#: Whether a workflow is still held as it was is asked for the other way round: what is not among these is lost.
_PENDING = (
    "SELECT workflow_uuid, run_id, attempt FROM {t}workflow_status"
    " WHERE workflow_uuid IN ({in_json}) AND status = 'PENDING'"
)


def found(session: Session, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Those of ``wanted`` that there is news of."""
    news: list[Wanted] = []
    for kind, sql in _FOUND.items():
        mine = [one for one in wanted if one.kind is kind]
        if mine:
            there = {(row[0], row[1]): row[2] for row in session.execute(sql, (_ids(mine),))}
            news += [one for one in mine if there.get((one.workflow_id, one.detail), -1) >= one.offset]
    mine = [one for one in wanted if one.kind is Kind.CANCELLED]
    if mine:
        pending = {tuple(row) for row in session.execute(_PENDING, (_ids(mine),))}
        news += [one for one in mine if one[1:] not in pending]
    return news


def _ids(wanted: Iterable[Wanted]) -> str:
    return json.dumps(sorted({one.workflow_id for one in wanted}))
