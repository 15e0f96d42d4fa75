"""Executors that race for one transaction, and transactions that race for one row: nothing twice, nothing lost."""

from __future__ import annotations

import threading
import time

from durably.clock import SystemClock
from durably.testing.conformance.lab import PATIENCE, Lab
from durably.testing.conformance.scenario import scenario

#: How many at once in the scenario of the lost update.
CROWD = 32
#: The lease of an executor that is to lose it, and how long that may take.
LEASE_SECONDS, LOST_SECONDS = 0.3, 0.7


class Races:
    """Zombies and crowds."""

    @scenario(launched=False)
    async def test_a_zombie_and_its_successor_agree_on_one_execution(self, lab: Lab) -> None:
        """Both are in the function; one of them commits, and both are told its value.

        On SQLite only one can be in it; there the zombie commits while its successor waits for the file.
        """
        clock = _Freezing()
        zombie = await lab.launch(lease_seconds=LEASE_SECONDS, clock=clock)
        bodies: list[int] = []
        alone = lab.placement.database == "sqlite"

        async def body() -> int:
            bodies.append(len(bodies) + 1)
            me, until = bodies[-1], time.monotonic() + LOST_SECONDS
            await lab.orm.add(me)
            await lab.until(
                lambda: len(bodies) == 2 or (alone and time.monotonic() > until), "the other is in the function too"
            )
            return me

        flow = lab.workflow(lab.transaction(body))

        async def first() -> object:
            with zombie.current():
                return await lab.execute(flow, "raced")

        async def second() -> object:
            await lab.until(lambda: bool(bodies), "the first is in the function")
            clock.freeze()
            try:
                successor = await lab.launch(lease_seconds=LEASE_SECONDS)
                return await lab.result("raced", successor)
            finally:
                clock.thaw()

        told = await lab.together(first, second)
        (value,) = lab.items()
        assert told == [value, value]
        assert lab.recorded() == [("body", str(value), None)]
        if not alone:
            assert bodies == [1, 2]

    @scenario()
    async def test_many_at_once_lose_no_update_and_record_no_failure(self, lab: Lab) -> None:
        """At serializable, where the database has levels; on SQLite it is always so."""
        options = {} if lab.placement.database == "sqlite" else {"isolation_level": "serializable"}

        async def body() -> int:
            return await lab.orm.increment()

        flow = lab.workflow(lab.transaction(body, **options))
        told = await lab.together(*[lambda: lab.execute(flow)] * CROWD)
        assert [one for one in told if not isinstance(one, int)] == []
        assert sorted(told) == list(range(1, CROWD + 1))
        assert lab.control.counter() == CROWD
        assert sorted(int(str(one.output)) for one in lab.recorded()) == list(range(1, CROWD + 1))


class _Freezing(SystemClock):
    """Real time, but while it is frozen no background thread of the engine comes back from its wait."""

    def __init__(self) -> None:
        self._thawed = threading.Event()
        self._thawed.set()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not super().wait(event, seconds):
            self._thawed.wait(PATIENCE * 2)
        return event.is_set()

    def freeze(self) -> None:
        """No heartbeat, and no look for work, from now on."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on."""
        self._thawed.set()
