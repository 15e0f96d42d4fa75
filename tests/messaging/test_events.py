"""Events: the last value counts, whoever asks gets it as soon as it is set."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

import durably
from durably import Client, ConfigurationError, Durably, step
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import Form, Verbs
from tests.messaging.lives import SECONDS, Lives, waited_for
from tests.messaging.test_messages import started


@dataclass
class Progress:
    done: int
    of: int


def test_events_are_set_by_workflows_and_steps_and_the_last_value_counts(system_url: str, form: Form) -> None:
    async def show(verbs: Verbs) -> None:
        await verbs.set_event("phase", "began")
        await verbs.set_event("phase", "goes on")
        await verbs.set_event("nothing", None)

        @step(name="in a step")
        def in_a_step() -> None:
            durably.set_event("from step", 1)
            durably.set_event("from step", 2)
            durably.set_event("phase", "in a step")

        await verbs.run_step(in_a_step)
        await verbs.set_event("count", [1, 2])

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(show), workflow_id="w")
        handle.get_result(timeout_seconds=SECONDS)
        assert durably.get_all_events("w") == {
            "phase": "in a step",
            "nothing": None,
            "from step": 2,
            "count": [1, 2],
        }
        assert asyncio.run(durably.aio.get_all_events("w"))["count"] == [1, 2]
        assert durably.get_event("w", "phase") == "in a step"
        assert asyncio.run(durably.aio.get_event("w", "from step")) == 2
    assert checkpoints(system_url, "w") == [
        *["durably.set_event"] * 3,
        "in a step",
        "durably.set_event",
    ]
    # What a fork would begin with: each place's last value.
    history = rows(
        system_url, "SELECT function_id, key, value FROM durably.workflow_events_history ORDER BY function_id, key"
    )
    assert history == [
        (1, "phase", '"began"'),
        (2, "phase", '"goes on"'),
        (3, "nothing", "null"),
        (4, "from step", "2"),
        (4, "phase", '"in a step"'),
        (5, "count", "[1,2]"),
    ]


def test_an_event_is_waited_for(system_url: str, form: Form) -> None:
    go = threading.Event()

    async def show(verbs: Verbs) -> None:
        await verbs.run_step(lambda: go.wait(SECONDS))
        await verbs.set_event("k", Progress(1, 2))

    flow = form.workflow(show)
    found: list[Any] = []

    async def ask(count: int) -> list[Any]:
        return await asyncio.gather(
            *(durably.aio.get_event("w", "k", timeout_seconds=SECONDS, expect=Progress) for _ in range(count))
        )

    with Durably("talk", system_database_url=system_url):
        assert durably.get_event("w", "k", timeout_seconds=0) is None, "nor is there a workflow"
        started(flow, workflow_id="w")
        assert durably.get_event("w", "k", timeout_seconds=0.1) is None
        assert asyncio.run(durably.aio.get_event("w", "k", timeout_seconds=0.1)) is None
        threads = [
            threading.Thread(
                target=lambda: found.append(durably.get_event("w", "k", timeout_seconds=SECONDS, expect=Progress))
            ),
            threading.Thread(target=lambda: found.extend(asyncio.run(ask(5)))),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        go.set()
        for thread in threads:
            thread.join(SECONDS)
    assert found == [Progress(1, 2)] * 6


def test_workflows_wait_for_the_events_of_others_and_record_them(system_url: str, form: Form) -> None:
    async def show(verbs: Verbs) -> None:
        await verbs.recv(timeout_seconds=SECONDS)
        await verbs.set_event("k", "set")

    async def ask(verbs: Verbs) -> list[Any]:
        early = await verbs.get_event("shows", "k", timeout_seconds=0.05)
        before = await verbs.get_all_events("shows")
        await verbs.send("shows", "go")
        found = await verbs.get_event("shows", "k", timeout_seconds=SECONDS)
        return [early, before, found, await verbs.get_all_events("shows")]

    showing, asking = form.workflow(show), form.workflow(ask)
    with Durably("talk", system_database_url=system_url):
        started(showing, workflow_id="shows")
        handle = started(asking, workflow_id="asks")
        assert handle.get_result(timeout_seconds=SECONDS) == [None, {}, "set", {"k": "set"}]
    assert checkpoints(system_url, "asks") == [
        "durably.get_event",
        "durably.get_all_events",
        "durably.send",
        "durably.get_event",
        "durably.get_all_events",
    ]


def test_a_step_asks_without_a_record(system_url: str, form: Form) -> None:
    async def ask(verbs: Verbs) -> list[Any]:
        await verbs.set_event("k", 1)

        @step(name="asks")
        def asks() -> list[Any]:
            return [
                durably.get_event("w", "k"),
                durably.get_all_events("w"),
                durably.get_event("w", "l", timeout_seconds=0),
            ]

        found: list[Any] = await verbs.run_step(asks)
        return found

    with Durably("talk", system_database_url=system_url):
        assert started(form.workflow(ask), workflow_id="w").get_result(timeout_seconds=SECONDS) == [1, {"k": 1}, None]
    assert checkpoints(system_url, "w") == ["durably.set_event", "asks"]


def test_events_are_for_workflows(system_url: str) -> None:
    with Durably("talk", system_database_url=system_url):
        with pytest.raises(ConfigurationError, match=r"durably\.set_event is for workflows and their steps"):
            durably.set_event("k", 1)
        with pytest.raises(ConfigurationError, match=r"durably\.set_event"):
            asyncio.run(durably.aio.set_event("k", 1))


# -- across crashes ----------------------------------------------------------------------------------------------


def test_a_replay_finds_what_it_found_before(lives: Lives, form: Form) -> None:
    async def flow(verbs: Verbs) -> list[Any]:
        await verbs.set_event("k", 1)
        found = [
            await verbs.get_event("w", "k", timeout_seconds=SECONDS),
            await verbs.get_event("w", "later", timeout_seconds=0),
            await verbs.get_all_events("w"),
        ]
        lives.lines.append(list(found))
        await verbs.set_event("k", 2)
        await lives.stuck_once(verbs)
        await verbs.set_event("later", 3)
        return found

    flow_ = form.workflow(flow)
    expected = [1, None, {"k": 1}]
    assert lives.interrupted(lambda: durably.start_workflow(flow_)) == expected
    assert lives.lines == [expected, expected]
    with Client(lives.url, name="lives") as client:
        assert client.get_all_events("w") == {"k": 2, "later": 3}


def test_a_replay_does_not_set_an_event_back(lives: Lives, form: Form) -> None:
    seen: list[Any] = []

    async def flow(verbs: Verbs) -> None:
        await verbs.set_event("k", "first")
        await verbs.set_event("k", "second")
        seen.append(rows(lives.url, "SELECT value FROM durably.workflow_events"))
        await lives.stuck_once(verbs)

    flow_ = form.workflow(flow)
    lives.interrupted(lambda: durably.start_workflow(flow_))
    assert seen == [[('"second"',)], [('"second"',)]]


def test_a_wait_for_an_event_goes_on_after_a_crash_and_is_no_longer_for_it(lives: Lives, form: Form) -> None:
    began: list[float] = []

    async def flow(verbs: Verbs) -> Any:
        began.append(time.monotonic())
        return await verbs.get_event("w", "never", timeout_seconds=4)

    def end_is_written() -> bool:
        return rows(lives.url, "SELECT count(*) FROM durably.operation_outputs") == [(1,)]

    flow_ = form.workflow(flow)
    assert lives.interrupted(lambda: durably.start_workflow(flow_), lambda: time.sleep(1), until=end_is_written) is None
    assert time.monotonic() - began[0] >= 3.9
    assert time.monotonic() - began[1] < 3.5


# -- from elsewhere ----------------------------------------------------------------------------------------------


def test_other_engines_and_clients_hear_of_events(system_url: str, form: Form) -> None:
    async def show(verbs: Verbs) -> None:
        await verbs.recv(timeout_seconds=SECONDS)
        await verbs.set_event("k", "v")

    flow = form.workflow(show)
    found: list[Any] = []
    one, two = Durably("one", system_database_url=system_url), Durably("two", system_database_url=system_url)
    with one, two, Client(system_url, name="one") as client:
        with one.current():
            started(flow, workflow_id="w")
        threads = [
            threading.Thread(target=lambda: found.append(two.get_event("w", "k", timeout_seconds=SECONDS))),
            threading.Thread(target=lambda: found.append(client.get_event("w", "k", timeout_seconds=SECONDS))),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        client.send("w", "go")
        for thread in threads:
            thread.join(SECONDS)
    assert found == ["v", "v"]


@pytest.mark.parametrize("seconds", [None, 30.0])
def test_who_waits_is_told_of_a_shutdown(system_url: str, seconds: float | None) -> None:
    errors: list[BaseException] = []
    waiting: list[int] = []

    def ask(app: Any) -> None:
        waiting.append(1)
        try:
            app.get_event("nobody", "k", timeout_seconds=seconds)
        except durably.NotLaunchedError as error:
            errors.append(error)

    app, client = Durably("talk", system_database_url=system_url), Client(system_url, name="talk")
    with app, client:
        threads = [threading.Thread(target=ask, args=(one,)) for one in (app, client)]
        for thread in threads:
            thread.start()
        waited_for(lambda: len(waiting) == 2)
        time.sleep(0.3)
    for thread in threads:
        thread.join(20)
    assert [thread.is_alive() for thread in threads] == [False, False]
    assert ["news of workflow 'nobody'" in str(error) for error in errors] == [True, True]
