"""The oracle of the talking program: what was lost, doubled, reordered or left stuck, by the databases alone.

It reads through the bare drivers, and compares with ``talk_plan``; of the engine it knows nothing but its tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.crash.journal import Entry
from tests.crash.oracle import Database, Verdict, opened
from tests.crash.talk_plan import Expected, calls_of, expected, fits

#: Tables whose rows belong to a workflow, and the column that names it.
_TABLES = {
    "workflow_inputs": "workflow_uuid",
    "workflow_outputs": "workflow_uuid",
    "operation_outputs": "workflow_uuid",
    "notifications": "destination_uuid",
    "workflow_events": "workflow_uuid",
    "workflow_events_history": "workflow_uuid",
    "streams": "workflow_uuid",
}


def judge(system_url: str, name: str, workflow_ids: Sequence[str], journal: Sequence[Entry]) -> Verdict:
    """Examine the workflows of a round after all faults are over; all others whose id begins with its name, too."""
    verdict = Verdict()
    wanted = expected(workflow_ids)
    with opened(system_url) as system:
        _judge_existence(system, name, wanted, verdict)
        for workflow_id, one in wanted.items():
            entries = [entry for entry in journal if entry.workflow_id == workflow_id]
            _Workflow(system, workflow_id, one, entries, verdict).judge()
    return verdict


def _judge_existence(system: Database, name: str, wanted: Mapping[str, Expected], verdict: Verdict) -> None:
    """No workflow beyond those of the plan, and nothing of a workflow that is not there."""
    rows = system.query(
        "SELECT workflow_uuid, status FROM {t}workflow_status WHERE workflow_uuid LIKE ?", (f"{name}-%",)
    )
    for workflow_id, status in rows:
        verdict.found("doubled", f"workflow {workflow_id!r} ({status}) is not in the plan", workflow_id not in wanted)
    there = {row[0] for row in rows}
    for table, column in _TABLES.items():
        owners = system.query(f"SELECT DISTINCT {column} FROM {{t}}{table} WHERE {column} LIKE ?", (f"{name}-%",))
        left = {row[0] for row in owners} - there
        verdict.found("diverged", f"{table} has rows of {sorted(left)}, which are not there", len(left))


class _Workflow:
    """One workflow's rows beside what they should be."""

    def __init__(
        self, system: Database, workflow_id: str, wanted: Expected, journal: list[Entry], verdict: Verdict
    ) -> None:
        self.system = system
        self.workflow_id = workflow_id
        self.wanted = wanted
        self.journal = journal
        self.verdict = verdict
        #: Branch → its checkpoints in order: function id, name, output, when it was recorded (milliseconds).
        self.recorded: dict[str, list[tuple[int, str, Any, int]]] = {}

    def found(self, what: str, finding: str, count: int = 1) -> None:
        self.verdict.found(what, f"workflow {self.workflow_id!r}: {finding}", count)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.system.query(sql, (self.workflow_id,))

    def judge(self) -> None:
        rows = self.query(
            "SELECT status, parent_workflow_id, forked_from, attributes FROM {t}workflow_status WHERE workflow_uuid = ?"
        )
        if not rows:
            self.found("lost", "is not there")
            return
        self.verdict.workflows += 1
        status, parent, forked_from, attributes = rows[0]
        if status != self.wanted.status:
            self.found("stuck", f"is {status} rather than {self.wanted.status}")
        if (parent, forked_from) != (self.wanted.parent, self.wanted.forked_from):
            self.found("diverged", f"has parent {parent!r} and is a fork of {forked_from!r}")
        if _loaded(attributes) != self.wanted.attributes:
            self.found("lost", f"has attributes {attributes}")
        self.judge_calls()
        self.judge_steps()
        self.judge_output()
        self.judge_messages()
        self.judge_events()
        self.judge_streams()

    # -- what it recorded ----------------------------------------------------------------------------------------

    def judge_calls(self) -> None:
        rows = self.query(
            "SELECT branch, function_id, function_name, output, completed_at_epoch_ms FROM {t}operation_outputs"
            " WHERE workflow_uuid = ? ORDER BY branch, function_id"
        )
        for branch, function_id, name, output, completed_at in rows:
            if not branch.endswith("!"):  # ends of waits, beside their places
                bare = name.rpartition(".")[2].partition("-")[0]
                self.recorded.setdefault(branch, []).append((function_id, bare, _loaded(output), completed_at))
        for branch, calls in calls_of(self.wanted.role).items():
            done = [(function_id, name) for function_id, name, _, _ in self.recorded.get(branch, ())]
            whole = list(enumerate(calls, 1))
            if done != (whole if self.wanted.status == "SUCCESS" else whole[: len(done)]):
                self.found("out_of_order", f"recorded in branch {branch!r}: {done}")
        others = self.recorded.keys() - calls_of(self.wanted.role).keys()
        self.found("doubled", f"has other branches: {sorted(others)}", len(others))

    def judge_steps(self) -> None:
        """Bodies may run again, but never after their checkpoint; a fork's copies have no body at all."""
        if self.wanted.forked_from is not None:
            return
        for branch, records in self.recorded.items():
            for function_id, name, output, completed_at in records:
                if name not in ("note", "shout"):
                    continue
                bodies = [one for one in self.journal if one.kind == "body" and one.step == function_id]
                if output not in [one.token for one in bodies]:
                    self.found("lost", f"{name} {branch}/{function_id} is recorded, and no body returned that")
                late = [one for one in bodies if one.at // 1_000_000 > completed_at]
                if not branch:  # in other branches, steps have the same function ids
                    self.found("rerun", f"{name} {function_id} ran after its checkpoint", len(late))

    def judge_output(self) -> None:
        rows = self.query("SELECT output, error FROM {t}workflow_outputs WHERE workflow_uuid = ?")
        output, error = (_loaded(rows[0][0]), rows[0][1]) if rows else (None, None)
        if not fits(output, self.wanted.output) or error is not None:
            self.found("diverged", f"returned {output}, error {error}")
        if self.wanted.role in ("child", "victim", "source") and isinstance(output, list):
            said = [one[2] for one in self.recorded.get("", ()) if one[1] == "note"]
            if said != output[:1]:
                self.found("diverged", f"returned {output}, and {said} is recorded")

    # -- what it was told, and tells -----------------------------------------------------------------------------

    def judge_messages(self) -> None:
        rows = self.query(
            "SELECT topic, message, consumed FROM {t}notifications WHERE destination_uuid = ? ORDER BY position"
        )
        there: dict[str, list[Any]] = {}
        for topic, message, consumed in rows:
            there.setdefault(topic, []).append(_loaded(message))
            if not consumed:
                self.found("lost", f"message {message} of topic {topic!r} was not received")
        self.compare("messages of topic", there, self.wanted.messages)
        heard = [output for _, name, output, _ in self.recorded.get("", ()) if name == "recv" and output is not None]
        sent = [one for topic in self.wanted.messages for one in there.get(topic, ())]
        if sorted(map(str, heard)) != sorted(map(str, sent)):
            self.found("lost", f"was sent {sent}, and received {heard}")

    def judge_events(self) -> None:
        events = {key: _loaded(value) for key, value in self.query(_EVENTS)}
        if events != self.wanted.events:
            self.found("lost", f"has the events {events}")
        # Each function that sets an event sets it once in its history, however often its body ran.
        setting = {(branch, row[0]) for branch, rows in self.recorded.items() for row in rows if row[1] in _SETTERS}
        for branch, function_id, key in self.query(_EVENT_HISTORY):
            if (branch, function_id) not in setting:
                self.found("doubled", f"event {key!r} was set at {branch}/{function_id}, where nothing is recorded")

    def judge_streams(self) -> None:
        there: dict[str, list[Any]] = {}
        closed: dict[str, bool] = {}
        for key, offset, value in self.query(_STREAMS):
            values = there.setdefault(key, [])
            if offset != len(values) + closed.get(key, False):
                self.found("out_of_order", f"stream {key!r} has {offset} after {len(values)} values")
            if value is None:
                closed[key] = True
            else:
                values.append(_loaded(value))
        self.compare("stream", there, {key: values for key, (values, _) in self.wanted.streams.items()})
        ends = {key for key, (_, end) in self.wanted.streams.items() if end}
        if closed.keys() != ends:
            self.found("lost", f"has closed {sorted(closed)} rather than {sorted(ends)}")

    def compare(self, what: str, there: Mapping[str, Sequence[Any]], wanted: Mapping[str, Sequence[Any]]) -> None:
        """Say of each key what is missing, there twice, or in another order."""
        for key in sorted(there.keys() | wanted.keys()):
            have, want = (
                [json.dumps(one) for one in there.get(key, ())],
                [json.dumps(one) for one in wanted.get(key, ())],
            )
            lost = [one for one in want if one not in have]
            more = len(have) - len(set(have)) + len(set(have) - set(want))
            self.found("lost", f"{what} {key!r} misses {lost}", len(lost))
            self.found("doubled", f"{what} {key!r} has {have}", more)
            if not lost and not more and have != want:
                self.found("out_of_order", f"{what} {key!r} has {have}")


_SETTERS = ("set_event", "shout")
_EVENTS = "SELECT key, value FROM {t}workflow_events WHERE workflow_uuid = ?"
_EVENT_HISTORY = "SELECT branch, function_id, key FROM {t}workflow_events_history WHERE workflow_uuid = ?"
_STREAMS = 'SELECT key, "offset", value FROM {t}streams WHERE workflow_uuid = ? ORDER BY key, "offset"'


def _loaded(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
