"""The oracle: counts, from the databases alone, what was lost, doubled, left stuck or recorded out of order.

It reads through the bare drivers and knows nothing of the engine but its tables' names.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import psycopg

from durably.testing import mariadb
from tests.crash.journal import Entry

ACCOUNTS = 4
FIRST_AMOUNT = 1_000_000
#: The function ids of the program's steps and transactions.
STEPS, TRANSACTIONS = (1, 3), (2, 4)

_TABLES = (
    "CREATE TABLE effect (workflow_id varchar(64) NOT NULL, step integer NOT NULL, attempt integer NOT NULL,"
    " pid integer NOT NULL, at bigint NOT NULL)",
    "CREATE TABLE balance (account varchar(64) NOT NULL PRIMARY KEY, amount bigint NOT NULL)",
)


class Database:
    """Statements on one database, through its driver; ``?`` stands for parameters, ``{t}`` before Durably's tables."""

    def __init__(self, url: str) -> None:
        self._raw: Any
        self._kind = url.partition("://")[0]
        if self._kind == "postgresql":
            self._raw = psycopg.connect(url, autocommit=True)
        elif self._kind == "mysql":
            self._raw = mariadb.connect(url)
        else:
            self._raw = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows."""
        text = sql.replace("{t}", "durably." if self._kind == "postgresql" else "durably_")
        cursor = self._raw.cursor()
        cursor.execute(text if self._kind == "sqlite" else text.replace("?", "%s"), params)
        return list(cursor.fetchall()) if cursor.description is not None else []

    def close(self) -> None:
        """Disconnect."""
        self._raw.close()


@contextlib.contextmanager
def opened(url: str) -> Iterator[Database]:
    """A database, closed at the end."""
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def prepare(application_url: str) -> None:
    """Make the application's tables, with all units at the sources."""
    with opened(application_url) as database:
        if application_url.startswith("sqlite"):
            database.query("PRAGMA journal_mode = WAL")
        for statement in _TABLES:
            database.query(statement)
        for place in range(ACCOUNTS):
            for account, amount in ((f"source-{place}", FIRST_AMOUNT), (f"sink-{place}", 0)):
                database.query("INSERT INTO balance VALUES (?, ?)", (account, amount))


@dataclass
class Verdict:
    """What the oracle found; every number but ``workflows`` must be 0."""

    workflows: int = 0
    #: A recorded transaction, or an accepted workflow, of which there is no trace.
    lost: int = 0
    #: Effects beyond the first, and effects of what is recorded otherwise or nowhere.
    doubled: int = 0
    #: Workflows without an outcome, or with another than the one that the program has.
    stuck: int = 0
    #: Checkpoints that are not the beginning of the program's four.
    out_of_order: int = 0
    #: Step bodies that began after their checkpoint was committed.
    rerun: int = 0
    #: Outcomes, and what callers were told, that are not what the checkpoints say.
    diverged: int = 0
    #: 1 if units were made or lost, or moved without their effect.
    unbalanced: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Count ``other``'s findings among these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def violations(self) -> int:
        """All that must be 0."""
        return sum(getattr(self, each.name) for each in fields(self) if each.name not in ("workflows", "findings"))

    def found(self, what: str, finding: str, count: int = 1) -> None:
        """Count a violation."""
        if count:
            setattr(self, what, getattr(self, what) + count)
            self.findings.append(f"{what}: {finding}")


def judge(
    system_url: str,
    application_url: str,
    workflow_ids: Sequence[str],
    journal: Sequence[Entry],
    *,
    serial: bool = True,
) -> Verdict:
    """Examine workflows after all faults are over and all recovery has ended.

    ``serial``: no two processes ran at once, so that a recorded body must be the last one that began.
    """
    verdict = Verdict()
    with opened(system_url) as system, opened(application_url) as application:
        for workflow_id in workflow_ids:
            entries = [entry for entry in journal if entry.workflow_id == workflow_id]
            _Workflow(system, application, workflow_id, entries, verdict, serial=serial).judge()
        _judge_balances(application, verdict)
    return verdict


def _judge_balances(application: Database, verdict: Verdict) -> None:
    total = application.query("SELECT sum(amount) FROM balance")[0][0]
    moved = application.query("SELECT sum(amount) FROM balance WHERE account LIKE ?", ("sink-%",))[0][0]
    effects = application.query("SELECT count(*) FROM effect")[0][0]
    if total != ACCOUNTS * FIRST_AMOUNT or moved != effects:
        verdict.found("unbalanced", f"{total} units, {moved} of them moved by {effects} effects")


class _Workflow:
    """One workflow's rows, side by side."""

    def __init__(
        self,
        system: Database,
        application: Database,
        workflow_id: str,
        journal: list[Entry],
        verdict: Verdict,
        *,
        serial: bool,
    ) -> None:
        self.workflow_id = workflow_id
        self.serial = serial
        self.journal = journal
        self.verdict = verdict
        rows = system.query("SELECT status FROM {t}workflow_status WHERE workflow_uuid = ?", (workflow_id,))
        self.status: str | None = rows[0][0] if rows else None
        rows = system.query("SELECT output FROM {t}workflow_outputs WHERE workflow_uuid = ?", (workflow_id,))
        self.output: list[str] | None = json.loads(rows[0][0]) if rows and rows[0][0] else None
        #: function id → (the recorded output, when it was recorded, in milliseconds).
        self.recorded: dict[int, tuple[Any, int]] = {
            function_id: (json.loads(output) if output is not None else error, completed_at)
            for function_id, output, error, completed_at in system.query(
                "SELECT function_id, output, error, completed_at_epoch_ms FROM {t}operation_outputs"
                " WHERE workflow_uuid = ? ORDER BY function_id",
                (workflow_id,),
            )
        }
        #: function id → the tokens of its effects.
        self.effects: dict[int, list[str]] = {}
        for function_id, pid, at in application.query(
            "SELECT step, pid, at FROM effect WHERE workflow_id = ?", (workflow_id,)
        ):
            self.effects.setdefault(function_id, []).append(f"{pid}:{at}")

    def found(self, what: str, finding: str, count: int = 1) -> None:
        self.verdict.found(what, f"workflow {self.workflow_id!r} ({self.status}): {finding}", count)

    def judge(self) -> None:
        if self.status is None:
            accepted = any(entry.kind in ("accepted", "told") for entry in self.journal)
            self.found("lost", "was accepted, and has no row", int(accepted))
            self.found("doubled", "has effects and no row", sum(map(len, self.effects.values())))
            return
        self.verdict.workflows += 1
        self.judge_end()
        self.judge_transactions()
        self.judge_steps()
        self.judge_answers()

    def judge_end(self) -> None:
        if self.status != "SUCCESS":
            self.found("stuck", "has not ended as it should")
        expected = sorted((*STEPS, *TRANSACTIONS))
        done = sorted(self.recorded)
        if done != (expected if self.status == "SUCCESS" else expected[: len(done)]):
            self.found("out_of_order", f"recorded are {done}")

    def judge_transactions(self) -> None:
        for function_id in TRANSACTIONS:
            tokens = self.effects.pop(function_id, [])
            if self.status == "SUCCESS" or function_id in self.recorded:
                self.found("lost", f"transaction {function_id} is done without an effect", int(not tokens))
            self.found("doubled", f"transaction {function_id} has {len(tokens)} effects", max(len(tokens) - 1, 0))
            if function_id in self.recorded and tokens and self.recorded[function_id][0] not in tokens:
                self.found("doubled", f"transaction {function_id}: the effect is not the recorded execution's")
        self.found("doubled", f"effects where no transaction is: {self.effects}", len(self.effects))

    def judge_steps(self) -> None:
        for function_id in STEPS:
            bodies = [entry for entry in self.journal if entry.kind == "body" and entry.step == function_id]
            if function_id not in self.recorded:
                continue
            token, completed_at = self.recorded[function_id]
            if token not in [entry.token for entry in bodies]:
                self.found("lost", f"step {function_id} is recorded, and no body says that it returned this")
            # The checkpoint's time was taken before its commit. A body that is not the last one and was recorded all
            # the same means a later one ran in vain, whatever the clocks say; only zombies overlap.
            late = [entry for entry in bodies if entry.at // 1_000_000 > completed_at]
            self.found("rerun", f"step {function_id} ran after its checkpoint", len(late))
            if self.serial and bodies and bodies[-1].token != token:
                self.found("rerun", f"step {function_id} ran again after the execution that is recorded")

    def judge_answers(self) -> None:
        said = [self.recorded[function_id][0] for function_id in sorted(self.recorded)]
        if self.output is not None and self.output != said:
            self.found("diverged", f"the outcome is {self.output}, the checkpoints say {said}")
        told = {entry.token for entry in self.journal if entry.kind == "told"}
        wrong = told - {",".join(map(str, self.output or ()))}
        self.found("diverged", f"callers were told {sorted(wrong)}, the outcome is {self.output}", len(wrong))
