"""Batches of any size and any text; a command that the database refuses fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest

from durably.clock import SystemClock
from durably.drive import drive
from durably.ledger import queries
from durably.ledger.backend import Backend
from durably.ledger.commands import Command, RecordCheckpoint, Recorded, Started
from durably.ledger.ledger import Ledger
from durably.ledger.postgres import PostgresBackend
from durably.model import CheckpointKey
from tests.ledger.commands import BOB, checkpoint, claimant, outcome, start
from tests.ledger.writing import in_threads

ODD = {
    "quotes": """it's "quoted" \\ and $1 %s ? {t} ; -- /* */""",
    "control": "".join(map(chr, range(1, 32))),
    "astral": "\U0001f600 é ünï \u200b\u2028",
    "noncharacters": "\ufffe\uffff\ufeff",
    "empty": "",
    "blank": "   ",
    "null-like": "NULL",
}


@pytest.fixture
def ledger(backend: Backend) -> Iterator[Ledger]:
    ledger = Ledger(backend, SystemClock(), where="test")
    yield ledger
    ledger.close()


def test_a_thousand_of_each_kind_in_one_batch(backend: Backend) -> None:
    starts = [start(f"w{number}") for number in range(1000)]
    checkpoints = [checkpoint(f"w{number}") for number in range(1000)]
    outcomes = [outcome(f"w{number}") for number in range(1000)]
    answers = backend.write([*starts, *checkpoints, *outcomes])
    assert answers[:1000] == [Started(True)] * 1000
    assert answers[1000:2000] == [Recorded.RECORDED] * 1000
    assert answers[2000:] == [True] * 1000
    assert backend.write([*starts, *checkpoints, *outcomes])[1000:] == answers[1000:]
    ids = [f"w{number}" for number in range(1000)]
    assert all(backend.read(lambda session: queries.outcomes(session, ids)).values())
    assert all(len(one) == 1 for one in backend.read(lambda session: queries.history(session, ids)).values())


def test_an_empty_list_of_ids_reads_nothing(backend: Backend) -> None:
    assert backend.read(lambda session: queries.statuses(session, [])) == {}
    assert backend.read(lambda session: queries.history(session, [])) == {}


@pytest.mark.parametrize("kind", ODD)
def test_odd_characters_come_back_as_they_were(backend: Backend, kind: str) -> None:
    text = ODD[kind]
    name = f"w-{text}"
    backend.write([start(name, inputs=text, name=f"n-{text}"), start("other")])
    backend.write([checkpoint(name, output=text, branch=text, name=f"s-{text}"), checkpoint("other")])
    backend.write([outcome(name, output=text)])
    row = backend.read(lambda session: queries.statuses(session, [name]))[name]
    assert (row.workflow_id, row.name) == (name, f"n-{text}")
    history = backend.read(lambda session: queries.history(session, [name]))[name]
    assert history[CheckpointKey(text, 1)].output == text
    assert history[CheckpointKey(text, 1)].function_name == f"s-{text}"
    found = backend.read(lambda session: queries.outcomes(session, [name]))[name]
    assert found is not None
    assert found.output == text


def test_ids_are_compared_exactly(backend: Backend) -> None:
    ids = ["a", "A", "á", "a\u0301", "a ", " a", "ａ"]
    assert backend.write([start(one) for one in ids]) == [Started(True)] * len(ids)
    assert set(backend.read(lambda session: queries.statuses(session, ids))) == set(ids)


def test_a_payload_of_a_megabyte(backend: Backend) -> None:
    big = '"' + "x€" * 500_000 + '"'
    backend.write([start("w", inputs=big)])
    assert backend.write([checkpoint("w", output=big), checkpoint("w", 2)]) == [Recorded.RECORDED] * 2
    assert backend.write([outcome("w", output=big)]) == [True]
    assert backend.read(lambda session: queries.history(session, ["w"]))["w"][CheckpointKey("", 1)].output == big
    found = backend.read(lambda session: queries.outcomes(session, ["w"]))["w"]
    assert found is not None
    assert found.output == big


# What no database stores as text: PostgreSQL has no NUL, and nobody has half a surrogate pair.
POISON: dict[str, Callable[[RecordCheckpoint], RecordCheckpoint]] = {
    "half a surrogate pair": lambda command: command._replace(output="\ud800"),
    "a number that is too large": lambda command: command._replace(started_at=2**70),
}


@pytest.mark.parametrize("poison", POISON)
def test_a_poisonous_command_fails_alone(ledger: Ledger, poison: str) -> None:
    backend = ledger.backend
    backend.write([start(f"w{number}") for number in range(20)])
    commands = [checkpoint(f"w{number}", function_id) for number in range(20) for function_id in (1, 2)]
    commands[17] = POISON[poison](commands[17])
    answers: dict[int, object] = {}
    ready = threading.Barrier(len(commands))

    def work(place: int, command: RecordCheckpoint) -> None:
        ready.wait(10)
        try:
            answers[place] = drive(ledger.record(command))
        except Exception as error:
            answers[place] = error

    in_threads([partial(work, place, command) for place, command in enumerate(commands)])
    assert isinstance(answers.pop(17), Exception)
    assert set(answers.values()) == {Recorded.RECORDED}
    ids = [f"w{number}" for number in range(20)]
    history = backend.read(lambda session: queries.history(session, ids))
    assert sum(map(len, history.values())) == 39


def test_a_nul_fails_alone_on_postgresql_and_on_a_loop(postgres_backend: Backend) -> None:
    ledger = Ledger(postgres_backend, SystemClock(), where="test")
    postgres_backend.write([start("w")])
    commands = [checkpoint("w", number) for number in range(1, 101)]
    commands[50] = commands[50]._replace(output="a\0b")

    async def main() -> list[object]:
        return await asyncio.gather(*map(ledger.record, commands), return_exceptions=True)

    answers = asyncio.run(main())
    ledger.close()
    assert isinstance(answers.pop(50), Exception)
    assert answers == [Recorded.RECORDED] * 99
    assert len(postgres_backend.read(lambda session: queries.history(session, ["w"]))["w"]) == 99


def test_the_ledger_works_on_after_a_poisonous_command(ledger: Ledger) -> None:
    ledger.backend.write([start("w")])
    backend_is_file = not ledger.backend.dialect.has_schema
    for number in range(1, 6):
        with pytest.raises(UnicodeError if backend_is_file else psycopg.Error):
            drive(ledger.record(checkpoint("w", number, output="\ud800")))
        assert drive(ledger.record(checkpoint("w", number))) is Recorded.RECORDED


def test_a_pooler_that_hands_connections_on_gets_neither_prepared_statements_nor_pipelines(
    postgres_backend: Backend, emptied_url: str
) -> None:
    pooled = PostgresBackend(emptied_url, pooler=True)
    batch: list[Command] = [start("w"), checkpoint("w"), outcome("w")]
    try:
        assert pooled.write(batch) == [Started(True), Recorded.RECORDED, True]
        assert pooled.write([start("v", executor=None)]) == [Started(True)]
        claimed = pooled.change(queries.claim_waiting_by(claimant(BOB), 10))
        assert [one.status.workflow_id for one in claimed] == ["v"]
        assert pooled.read(lambda session: session.execute("SELECT count(*) FROM pg_prepared_statements")) == [(0,)]
    finally:
        pooled.disconnect()
