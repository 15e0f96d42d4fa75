"""What cannot be sent, set or written is one clear error; it leaves no trace, and no gap in the history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably import (
    AmbientTransactionError,
    ConfigurationError,
    Durably,
    Message,
    SerializationError,
    step,
    transaction,
    workflow,
)
from tests.execution.rows import checkpoints, rows
from tests.messaging.forms import Form, Verbs
from tests.messaging.lives import SECONDS
from tests.messaging.test_messages import started

TABLES = ("notifications", "workflow_events", "workflow_events_history", "streams")


def written(url: str) -> int:
    """How many messages, events and values of streams there are."""
    return sum(rows(url, f"SELECT count(*) FROM durably.{table}")[0][0] for table in TABLES)


def test_values_that_cannot_be_stored(system_url: str, form: Form) -> None:
    errors: list[str] = []

    async def flow(verbs: Verbs) -> None:
        bad = object()
        writes: list[Callable[[], Any]] = [
            lambda: verbs.send("w", bad),
            lambda: verbs.send_bulk([Message("w", 1), Message("w", bad)]),
            lambda: verbs.set_event("k", bad),
            lambda: verbs.write_stream("k", bad),
        ]
        for write in writes:
            with pytest.raises(SerializationError) as caught:
                await write()
            errors.append(str(caught.value))
        await verbs.set_event("k", "good")

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS)
        with pytest.raises(SerializationError, match="the message to workflow 'w'"):
            durably.send("w", object())
    assert [error.split(":")[0] for error in errors] == [
        "cannot record the message to workflow 'w'",
        "cannot record the message to workflow 'w'",
        "cannot record the event 'k' of workflow 'w'",
        "cannot record a value of stream 'k' of workflow 'w'",
    ]
    assert written(system_url) == 2, "the good one and its history"
    assert rows(system_url, "SELECT function_id, function_name FROM durably.operation_outputs") == [
        (1, "durably.set_event")
    ]


BAD_NAMES: list[Any] = ["a\0b", "a\ud800b", "x" * 256, 5, b"k"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=["nul", "lone surrogate", "long", "number", "bytes"])
def test_names_that_cannot_be_stored(system_url: str, form: Form, name: Any) -> None:
    refused: list[str] = []

    async def flow(verbs: Verbs) -> None:
        uses: list[Callable[[], Any]] = [
            lambda: verbs.send("w", 1, name),
            lambda: verbs.send("w", 1, idempotency_key=name),
            lambda: verbs.send_bulk([Message("w", 1), Message("w", 2, name)]),
            lambda: verbs.recv(name, timeout_seconds=0),
            lambda: verbs.set_event(name, 1),
            lambda: verbs.get_event("w", name, timeout_seconds=0),
            lambda: verbs.write_stream(name, 1),
            lambda: verbs.close_stream(name),
        ]
        for use in uses:
            with pytest.raises(ConfigurationError) as caught:
                await use()
            refused.append(str(caught.value))

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS)
        outside: list[Callable[[], object]] = [
            lambda: durably.send("w", 1, name),
            lambda: durably.get_event("w", name, timeout_seconds=0),
            lambda: list(durably.read_stream("w", name)),
        ]
        for use in outside:
            with pytest.raises(ConfigurationError):
                use()
    assert len(refused) == 8
    assert written(system_url) == 0
    assert checkpoints(system_url, "w") == []


@pytest.mark.parametrize("workflow_id", ["a\0b", "a\ud800b", 5], ids=["nul", "lone surrogate", "number"])
def test_ids_that_no_workflow_can_have(system_url: str, workflow_id: Any) -> None:
    uses: list[Callable[[], object]] = [
        lambda: durably.send(workflow_id, 1),
        lambda: durably.send_bulk([Message(workflow_id, 1)]),
        lambda: durably.get_event(workflow_id, "k", timeout_seconds=0),
        lambda: durably.get_all_events(workflow_id),
        lambda: list(durably.read_stream(workflow_id, "k")),
    ]
    with Durably("talk", system_database_url=system_url):
        for use in uses:
            with pytest.raises(ConfigurationError, match="give a text without NUL and lone surrogates"):
                use()


def test_names_of_any_other_letters(system_url: str, form: Form) -> None:
    names = ["", " ", "%s ? :n $1 {t} {{", "'\"", "Straße", "STRASSE", "x" * 255, "\U0001f9f5" * 255]

    async def flow(verbs: Verbs) -> list[Any]:
        for number, name in enumerate(names):
            await verbs.set_event(name, number)
            await verbs.write_stream(name, number)
            await verbs.send("w", number, name, idempotency_key=name or None)
        return [await verbs.recv(name, timeout_seconds=0) for name in names]

    with Durably("talk", system_database_url=system_url):
        handle = started(form.workflow(flow), workflow_id="w")
        assert handle.get_result(timeout_seconds=SECONDS) == list(range(len(names)))
        assert durably.get_all_events("w") == {name: number for number, name in enumerate(names)}
        for number, name in enumerate(names):
            assert list(durably.read_stream("w", name)) == [number]


def test_a_bulk_with_one_key_twice(system_url: str, form: Form) -> None:
    async def flow(verbs: Verbs) -> None:
        with pytest.raises(ConfigurationError, match="two messages with one idempotency_key"):
            await verbs.send_bulk([Message("w", 1, None, "k"), Message("w", 2, None, "k")])
        with pytest.raises(ConfigurationError, match="idempotency_key of a message is empty"):
            await verbs.send("w", 1, idempotency_key="")

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS)
        with pytest.raises(ConfigurationError, match="two messages"):
            durably.send_bulk([Message("w", 1, None, "k"), Message("w", 2, None, "k")])
    assert written(system_url) == 0


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12, "1", True], ids=str)
def test_times_that_cannot_be_waited_for(system_url: str, form: Form, seconds: Any) -> None:
    async def flow(verbs: Verbs) -> None:
        with pytest.raises(ConfigurationError, match="recv cannot wait for"):
            await verbs.recv(timeout_seconds=seconds)
        with pytest.raises(ConfigurationError, match="get_event cannot wait for"):
            await verbs.get_event("w", "k", timeout_seconds=seconds)

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(flow), workflow_id="w").get_result(timeout_seconds=SECONDS)
        with pytest.raises(ConfigurationError, match="get_event cannot wait for"):
            durably.get_event("w", "k", timeout_seconds=seconds)
        with pytest.raises(ConfigurationError, match="read_stream cannot wait for"):
            list(durably.read_stream("w", "k", timeout_seconds=seconds))
    assert checkpoints(system_url, "w") == []


@pytest.mark.parametrize("offset", [-1, 2**31, 1.0, True, "0"], ids=str)
def test_offsets_that_no_stream_has(system_url: str, offset: Any) -> None:
    with (
        Durably("talk", system_database_url=system_url),
        pytest.raises(ConfigurationError, match="the offset of a stream is"),
    ):
        list(durably.read_stream("w", "k", offset=offset))


# -- in the wrong place ------------------------------------------------------------------------------------------


def test_receiving_is_for_the_code_of_workflows(system_url: str, form: Form) -> None:
    @step(name="receives")
    def receives() -> None:
        with pytest.raises(ConfigurationError, match=r"durably\.recv is for the code of a workflow, outside its steps"):
            durably.recv(timeout_seconds=0)

    async def flow(verbs: Verbs) -> None:
        await verbs.run_step(receives)

    with Durably("talk", system_database_url=system_url):
        started(form.workflow(flow)).get_result(timeout_seconds=SECONDS)
        with pytest.raises(ConfigurationError, match=r"durably\.recv"):
            durably.recv(timeout_seconds=0)
        with pytest.raises(ConfigurationError, match=r"durably\.recv"):
            asyncio.run(durably.aio.recv(timeout_seconds=0))


def test_blocking_verbs_do_not_block_an_event_loop(system_url: str) -> None:
    refused: list[str] = []

    @workflow(name="flow")
    async def flow() -> None:
        uses: list[Callable[[], object]] = [
            lambda: durably.send("w", 1),
            lambda: durably.recv(),
            lambda: durably.set_event("k", 1),
            lambda: durably.get_event("w", "k"),
            lambda: durably.write_stream("k", 1),
            lambda: next(iter(durably.read_stream("w", "k"))),
            lambda: durably.sleep(1),
        ]
        for use in uses:
            with pytest.raises(durably.BlockingCallError) as caught:
                use()
            refused.append(str(caught.value))

    with Durably("talk", system_database_url=system_url):
        durably.start_workflow(flow).get_result(timeout_seconds=SECONDS)
    assert len(refused) == 7
    assert "use `await durably.aio.send(...)`" in refused[0]


def test_in_a_transaction_that_may_roll_back_nothing_is_written_at_once(postgres_url: str) -> None:
    from tests.budget.adapters import PsycopgAdapter

    adapter = PsycopgAdapter(postgres_url)
    refused: list[str] = []

    @transaction(name="reserve")
    def reserve() -> None:
        uses: list[Callable[[], None]] = [
            lambda: durably.send("w", 1),
            lambda: durably.send_bulk([Message("w", 1)]),
            lambda: durably.set_event("k", 1),
            lambda: durably.write_stream("k", 1),
            lambda: durably.close_stream("k"),
        ]
        for use in uses:
            with pytest.raises(AmbientTransactionError, match="call it from the workflow, after the transaction") as e:
                use()
            refused.append(str(e.value))

    @workflow(name="flow")
    def flow() -> None:
        reserve()

    with (
        Durably("talk", system_database_url=postgres_url, adapters={"default": adapter}),
        durably.workflow_options(workflow_id="w"),
    ):
        flow()
    assert len(refused) == 5
    assert "durably.send was called inside transaction 'reserve' of workflow 'w'" in refused[0]
    assert written(postgres_url) == 0
