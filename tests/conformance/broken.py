"""Adapters that break one promise each, and the reference, which breaks none. Run by ``test_mutants.py`` only."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

from durably.adapter import BeginPlan, Parameter
from durably.testing.conformance import AdapterConformance, Subject
from tests.conformance.reference import (
    AsyncReference,
    AsyncReferenceSubject,
    Reference,
    ReferenceSubject,
    execute,
)


class TestReference(AdapterConformance):
    subject: ClassVar[type[Subject]] = ReferenceSubject


class TestAsyncReference(AdapterConformance):
    subject: ClassVar[type[Subject]] = AsyncReferenceSubject


class CommitsBeforeTheRecord(Reference):
    """As a unit of work that writes what is pending by a commit."""

    def flush(self, handle: Any) -> None:
        execute(handle, "COMMIT")
        execute(handle, "BEGIN")
        execute(handle, "SAVEPOINT durably_transaction")


class SwallowsErrors(Reference):
    """Commits what a failed function has written."""

    def rollback(self, raw: Any) -> None:
        self.commit(raw)


class LeaksConnections(Reference):
    """Forgets the connections of transactions that failed; they are never closed."""

    forgotten: ClassVar[list[Any]] = []

    def rollback(self, raw: Any) -> None:
        self.forgotten.append(raw)
        super().rollback(raw)

    def ended(self, raw: Any, plan: BeginPlan) -> None:
        if raw not in self.forgotten:
            super().ended(raw, plan)


class LeavesReadersOpen(Reference):
    """Does not end transactions that only read."""

    def ended(self, raw: Any, plan: BeginPlan) -> None:
        if not plan.query_only:
            super().ended(raw, plan)

    def commit(self, raw: Any) -> None:
        if not execute(raw, "PRAGMA query_only")[0][0]:
            super().commit(raw)


class RecordsElsewhere(Reference):
    """Runs Durably's statements on another connection than the function's."""

    def execute(self, handle: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        other = self.pool.take()
        try:
            return execute(other, sql, params)
        finally:
            self.pool.give(other)


class StaysReadOnly(Reference):
    """Does not put a connection back into the state in which it can write."""

    def ended(self, raw: Any, plan: BeginPlan) -> None:
        super().ended(raw, BeginPlan(before=plan.before, begin=plan.begin, after=plan.after))


class IgnoresReadOnly(Reference):
    """Begins every transaction alike."""

    def opened(self, plan: BeginPlan) -> Any:
        return super().opened(BeginPlan())


class IgnoresIsolation(Reference):
    """Leaves out what the plan asks for after BEGIN."""

    def opened(self, plan: BeginPlan) -> Any:
        return super().opened(BeginPlan(begin=plan.begin, query_only=plan.query_only))


class NeverBegins(Reference):
    """Leaves every statement to commit by itself."""

    def opened(self, plan: BeginPlan) -> Any:
        return super().opened(BeginPlan(begin="SELECT 1", query_only=plan.query_only))

    def commit(self, raw: Any) -> None:
        if raw.in_transaction:
            super().commit(raw)


class HidesFailedCommits(Reference):
    """Takes a COMMIT that fails for one that succeeds."""

    def commit(self, raw: Any) -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            super().commit(raw)


class DisguisesTransientErrors(Reference):
    """Lets a transient error out as another one, so that nobody tries again."""

    @contextlib.contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[Any]:
        try:
            with super().begin(plan) as raw:
                yield raw
        except sqlite3.OperationalError as error:
            raise RuntimeError(str(error)) from None


class SeesNoCaller(Reference):
    """Never tells of a transaction that the caller has open."""

    def ambient(self) -> Any:
        return None


class IgnoresCancellation(AsyncReference):
    """Rolls back errors only, and a cancellation is none."""

    @contextlib.asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[Any]:
        raw = self.opened(plan)
        try:
            yield raw
        except Exception:
            self.rollback(raw)
            self.ended(raw, plan)
            raise
        self.commit(raw)
        self.ended(raw, plan)


class TestCommitsBeforeTheRecord(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "commits before the record"
        adapter = CommitsBeforeTheRecord

    subject: ClassVar[type[Subject]] = Broken


class TestSwallowsErrors(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "swallows errors"
        adapter = SwallowsErrors

    subject: ClassVar[type[Subject]] = Broken


class TestLeaksConnections(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "leaks connections"
        adapter = LeaksConnections

    subject: ClassVar[type[Subject]] = Broken


class TestLeavesReadersOpen(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "leaves readers open"
        adapter = LeavesReadersOpen

    subject: ClassVar[type[Subject]] = Broken


class TestRecordsElsewhere(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "records elsewhere"
        adapter = RecordsElsewhere

    subject: ClassVar[type[Subject]] = Broken


class TestStaysReadOnly(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "stays read-only"
        adapter = StaysReadOnly

    subject: ClassVar[type[Subject]] = Broken


class TestIgnoresReadOnly(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "ignores read-only"
        adapter = IgnoresReadOnly

    subject: ClassVar[type[Subject]] = Broken


class TestIgnoresIsolation(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "ignores isolation"
        adapter = IgnoresIsolation

    subject: ClassVar[type[Subject]] = Broken


class TestNeverBegins(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "never begins"
        adapter = NeverBegins

    subject: ClassVar[type[Subject]] = Broken


class TestHidesFailedCommits(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "hides failed commits"
        adapter = HidesFailedCommits

    subject: ClassVar[type[Subject]] = Broken


class TestDisguisesTransientErrors(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "disguises transient errors"
        adapter = DisguisesTransientErrors

    subject: ClassVar[type[Subject]] = Broken


class TestSeesNoCaller(AdapterConformance):
    class Broken(ReferenceSubject):
        name = "sees no caller"
        adapter = SeesNoCaller

    subject: ClassVar[type[Subject]] = Broken


class TestIgnoresCancellation(AdapterConformance):
    class Broken(AsyncReferenceSubject):
        name = "ignores cancellation"
        adapter = IgnoresCancellation

    subject: ClassVar[type[Subject]] = Broken
