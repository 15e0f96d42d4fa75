"""News in memory, one look for all that is waited for, and the ears on the two kinds of database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from durably.clock import SystemClock
from durably.errors import NotLaunchedError
from durably.ledger import awaited, listening
from durably.ledger.backend import Backend
from durably.ledger.ledger import Ledger
from durably.ledger.listening import ANYTHING, NEWS, PostgresListener, SqliteListener
from durably.ledger.news import Kind, News, Wanted
from durably.ledger.wakeups import Outcomes
from durably.ledger.watching import Watcher
from tests.ledger.commands import ALICE, outcome, start
from tests.ledger.talking import event, message, stream

# -- in memory ---------------------------------------------------------------------------------------------------


def test_news_wakes_those_who_wait_for_it() -> None:
    news = News()
    with news.watch(Kind.MESSAGE, "w", "t") as mine, news.watch(Kind.MESSAGE, "other", "t") as other:
        promises = [mine.fresh(), other.fresh()]
        news.happened(Kind.EVENT, "w")
        assert [one.done() for one in promises] == [False, False]
        news.happened(Kind.MESSAGE, "w")
        assert [one.done() for one in promises] == [True, False]
        again = mine.fresh()
        assert not again.done(), "the next news is still to come"
        assert mine.fresh() is again
        news.found([Wanted(Kind.MESSAGE, "w", "another topic")])
        assert not again.done(), "what was found is known exactly"
        news.found([Wanted(Kind.MESSAGE, "w", "t")])
        assert again.done()
    assert not news
    assert news.wanted() == []


def test_what_comes_between_a_look_and_the_wait_is_not_lost() -> None:
    news = News()
    with news.watch(Kind.EVENT, "w", "k") as watch:
        promise = watch.fresh()
        news.happened(Kind.EVENT, "w")  # while its owner looks
        assert promise.done()


def test_a_watch_may_wait_for_the_end_as_well() -> None:
    news = News()
    with news.watch(Kind.STREAM, "w", "k", 3, end=True) as watch:
        assert set(news.wanted()) == {Wanted(Kind.STREAM, "w", "k", 3), Wanted(Kind.OUTCOME, "w")}
        promise = watch.fresh()
        news.happened(Kind.OUTCOME, "w")
        assert promise.done()
    assert not news


def test_subscribers_hear_of_everything_of_their_kind() -> None:
    news, heard = News(), list[str]()
    news.subscribe(Kind.WORK, heard.append)
    assert news.subscribed
    assert not News().subscribed
    news.happened(Kind.WORK, "shop")
    news.happened(Kind.MESSAGE, "shop")
    assert heard == ["shop"]


def test_who_waits_when_it_is_closed_is_told_and_so_is_who_comes_later() -> None:
    news = News()
    with news.watch(Kind.EVENT, "w", "k") as watch:
        promise = watch.fresh()
        news.close()
        with pytest.raises(NotLaunchedError, match="news of workflow 'w'"):
            promise.result()
        with pytest.raises(NotLaunchedError):
            watch.fresh()
    with news.watch(Kind.EVENT, "w", "k") as late, pytest.raises(NotLaunchedError):
        late.fresh()


def test_waiters_come_and_go_on_many_threads() -> None:
    news = News()
    stop = threading.Event()

    def tell() -> None:
        while not stop.is_set():
            news.happened(Kind.MESSAGE, "w")
            news.wanted()

    def wait() -> None:
        for _ in range(200):
            with news.watch(Kind.MESSAGE, "w") as watch:
                assert watch.fresh().wait(20)

    teller = threading.Thread(target=tell)
    waiters = [threading.Thread(target=wait) for _ in range(4)]
    for thread in (teller, *waiters):
        thread.start()
    for thread in waiters:
        thread.join(60)
    stop.set()
    teller.join()
    assert not any(thread.is_alive() for thread in waiters)
    assert not news


# -- one look ----------------------------------------------------------------------------------------------------


def test_one_look_finds_everything_that_is_there(backend: Backend) -> None:
    backend.write([start("w"), start("ended"), start("Straße %s")])
    backend.write(
        [
            message("w", "1", topic="t"),
            message("Straße %s", "1"),
            event("w", "k"),
            stream("w", "s"),
            stream("w", "s", function_id=2),
            outcome("ended"),
        ]
    )
    there = [
        Wanted(Kind.MESSAGE, "w", "t"),
        Wanted(Kind.MESSAGE, "Straße %s", ""),
        Wanted(Kind.EVENT, "w", "k"),
        Wanted(Kind.STREAM, "w", "s", 0),
        Wanted(Kind.STREAM, "w", "s", 1),
        Wanted(Kind.OUTCOME, "ended"),
    ]
    absent = [
        Wanted(Kind.MESSAGE, "w", ""),
        Wanted(Kind.MESSAGE, "nobody", "t"),
        Wanted(Kind.EVENT, "w", "l"),
        Wanted(Kind.STREAM, "w", "s", 2),
        Wanted(Kind.STREAM, "w", "other", 0),
        Wanted(Kind.OUTCOME, "w"),
    ]
    statements: list[str] = []
    backend.observe = lambda sql, _: statements.append(sql)
    found = backend.read(lambda session: awaited.found(session, [*absent, *there]))
    assert sorted(found) == sorted(there)
    assert len(statements) == 4, "one of each kind"
    assert backend.read(lambda session: awaited.found(session, [])) == []
    assert len(statements) == 4


def test_a_thousand_are_looked_for_at_once(backend: Backend) -> None:
    backend.write([start(f"w-{number}") for number in range(1000)])
    backend.write([message(f"w-{number}", "1", topic="t") for number in range(0, 1000, 10)])
    wanted = [Wanted(Kind.MESSAGE, f"w-{number}", "t") for number in range(1000)]
    found = backend.read(lambda session: awaited.found(session, wanted))
    assert len(found) == 100


# -- SQLite's ear ------------------------------------------------------------------------------------------------


class Wal:
    """A WAL file that others write to, or this process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "test.db-wal"
        self.version = 0
        self.asked = 0
        self.listener = SqliteListener(str(folder / "test.db"), self._version)

    def _version(self) -> int:
        self.asked += 1
        return self.version

    def write(self, by: str = "others") -> None:
        with self.path.open("ab") as file:
            file.write(b"x")
        self.version += by == "others"


@pytest.fixture
def wal(tmp_path: Path) -> Wal:
    wal = Wal(tmp_path)
    wal.write()
    assert wal.listener.wait(1, attentive=True) == [ANYTHING]
    time.sleep(0.05)
    wal.listener.wait(0.05, attentive=True)
    return wal


def test_writes_of_others_are_heard_soon(wal: Wal) -> None:
    assert wal.listener.wait(0.1, attentive=True) == []
    for _ in range(5):
        wal.write()
        began = time.monotonic()
        assert wal.listener.wait(5, attentive=True) == [ANYTHING]
        assert time.monotonic() - began < 1


def test_own_writes_are_not_news(wal: Wal) -> None:
    for _ in range(5):
        wal.write("self")
        assert wal.listener.wait(0.06, attentive=True) == []
    assert wal.asked <= 2 + 5 * 3


def test_where_nobody_waits_nothing_is_asked(wal: Wal) -> None:
    asked = wal.asked
    wal.write()
    assert wal.listener.wait(5, attentive=False) == [ANYTHING]
    assert wal.asked == asked


def test_what_was_written_while_nobody_waited_is_news_for_who_comes(wal: Wal) -> None:
    wal.write()
    assert wal.listener.wait(5, attentive=False) == [ANYTHING]
    wal.write("self")
    assert wal.listener.wait(5, attentive=True) == [ANYTHING], "it cannot know whose it was"


def test_two_writes_in_one_tick_of_the_files_clock_are_both_heard(wal: Wal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second may leave time and size as they were; whoever saw the first looks once more."""
    monkeypatch.setattr(listening, "TICK", 60.0)
    wal.write()
    assert wal.listener.wait(5, attentive=True) == [ANYTHING]
    wal.version += 1
    assert wal.listener.wait(5, attentive=True) == [ANYTHING]
    assert wal.listener.wait(0.1, attentive=True) == []
    monkeypatch.setattr(listening, "TICK", 0.0)
    wal.listener.wait(0.1, attentive=True)
    wal.version += 1
    assert wal.listener.wait(0.1, attentive=True) == [], "long after the last write there is no doubt"


def test_it_is_heard_also_while_somebody_wakes_the_ear_all_the_time(wal: Wal) -> None:
    stop = threading.Event()

    def wake() -> None:
        while not stop.is_set():
            wal.listener.wake()

    thread = threading.Thread(target=wake)
    thread.start()
    try:
        wal.write()
        deadline = time.monotonic() + 20
        while wal.listener.wait(5, attentive=True) != [ANYTHING]:
            assert time.monotonic() < deadline
    finally:
        stop.set()
        thread.join()


def test_a_file_that_is_written_to_all_the_time_is_looked_at_now_and_then(wal: Wal) -> None:
    heard = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        wal.write()
        heard += wal.listener.wait(1, attentive=True) == [ANYTHING]
    assert 1 <= heard <= 26, "every 20 ms"


def test_no_file_is_no_news(tmp_path: Path) -> None:
    listener = SqliteListener(str(tmp_path / "none.db"), lambda: 0)
    listener.wait(0.05, attentive=True)
    assert listener.wait(0.1, attentive=True) == []


def test_it_is_woken_and_closed(wal: Wal) -> None:
    for end in (wal.listener.wake, wal.listener.close):
        threading.Timer(0.1, end).start()
        began = time.monotonic()
        assert wal.listener.wait(30, attentive=False) == []
        assert time.monotonic() - began < 10


# -- PostgreSQL's ear --------------------------------------------------------------------------------------------


@contextmanager
def ear(url: str, own: Callable[[int], bool] = lambda _: False) -> Iterator[PostgresListener]:
    listener = PostgresListener(lambda: psycopg.connect(url, autocommit=True), own)
    try:
        yield listener
    finally:
        listener.close()


def attentive(listener: PostgresListener) -> PostgresListener:
    """It listens, also for those who wait."""
    assert listener.wait(5, attentive=True) == [ANYTHING]
    assert listener.wait(5, attentive=True) == [NEWS]
    return listener


def test_it_hears_what_is_told_and_first_says_anything(postgres_url: str) -> None:
    with ear(postgres_url) as listener, psycopg.connect(postgres_url, autocommit=True) as teller:
        attentive(listener)
        assert listener.wait(0.05, attentive=True) == []
        for channel in ("durably", "durably_news"):
            teller.execute("SELECT pg_notify(%s, 'm:a' || E'\\n' || 'e:b')", (channel,))
            assert listener.wait(5, attentive=True) == ["m:a", "e:b"]
        teller.execute("SELECT pg_notify('other', 'm:a')")
        assert listener.wait(0.05, attentive=True) == []


def test_while_nobody_waits_it_hears_of_what_executors_do_alone(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "INATTENTIVE", 0.0)
    with ear(postgres_url) as listener, psycopg.connect(postgres_url, autocommit=True) as teller:
        assert listener.wait(5, attentive=False) == [ANYTHING]
        for _ in range(2):
            teller.execute("SELECT pg_notify('durably_news', 'm:a')")
            teller.execute("SELECT pg_notify('durably', 'w:shop')")
            assert listener.wait(5, attentive=False) == ["w:shop"]
            assert listener.wait(5, attentive=True) == [NEWS]  # who waits now must look for what was told before
            teller.execute("SELECT pg_notify('durably_news', 'm:a')")
            assert listener.wait(5, attentive=True) == ["m:a"]
            assert listener.wait(0.05, attentive=False) == []


def test_what_is_told_while_it_turns_its_attention_is_heard(postgres_url: str) -> None:
    with ear(postgres_url) as listener, psycopg.connect(postgres_url, autocommit=True) as teller:
        assert listener.wait(5, attentive=False) == [ANYTHING]
        teller.execute("SELECT pg_notify('durably', 'c:one')")
        heard = [*listener.wait(5, attentive=True), *listener.wait(0.2, attentive=True)]
        assert heard == [NEWS, "c:one"]


def test_what_its_own_process_told_is_no_news(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as teller:
        pid = teller.info.backend_pid
        with ear(postgres_url, lambda other: other == pid) as listener:
            attentive(listener)
            teller.execute("SELECT pg_notify('durably', 'm:a')")
            assert listener.wait(0.3, attentive=True) == []


def until_heard(listener: PostgresListener) -> list[str]:
    while not (heard := listener.wait(5, attentive=True)):
        pass
    return heard


def test_a_lost_connection_is_an_error_once_and_then_anything(postgres_url: str) -> None:
    with ear(postgres_url) as listener, psycopg.connect(postgres_url, autocommit=True) as killer:
        attentive(listener)
        for _ in range(3):
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            with pytest.raises(psycopg.OperationalError):
                until_heard(listener)  # the server says goodbye first
            attentive(listener)
        killer.execute("SELECT pg_notify('durably', 'm:a')")
        assert listener.wait(5, attentive=True) == ["m:a"]


def test_it_hears_with_more_than_a_thousand_files_open(postgres_url: str, tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    files: list[Any] = []
    try:
        files += [(tmp_path / str(number)).open("w") for number in range(1100)]
        test_it_hears_what_is_told_and_first_says_anything(postgres_url)
    finally:
        for file in files:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_postgresqls_ear_is_woken(postgres_url: str) -> None:
    with ear(postgres_url) as listener:
        attentive(listener)
        for _ in range(100_000):
            listener.wake()  # never blocks, whoever does not listen
        began = time.monotonic()
        assert listener.wait(30, attentive=True) == []
        assert time.monotonic() - began < 10


def test_many_long_names_are_told_in_several_notifications(postgres_backend: Backend, emptied_url: str) -> None:
    ids = [f"{number:03}" + "\U0001f9f5" * 252 for number in range(60)]
    postgres_backend.write([start(one) for one in ids])
    with ear(emptied_url) as listener:
        attentive(listener)
        postgres_backend.write([message(one, str(number)) for one in ids for number in range(2)])
        heard: list[str] = []
        deadline = time.monotonic() + 20
        while len(heard) < len(ids) and time.monotonic() < deadline:
            heard += listener.wait(1, attentive=True)
    assert sorted(heard) == [f"m:{one}" for one in ids], "each once, however many messages it got"


# -- the watcher -------------------------------------------------------------------------------------------------


@contextmanager
def watched(backend: Backend, *, listens: bool) -> Iterator[Ledger]:
    clock = SystemClock()
    ledger = Ledger(backend, clock, where="here")
    outcomes = Outcomes()
    watcher = Watcher(ledger, outcomes, clock, listens=listens)
    try:
        yield ledger
    finally:
        ledger.stop_waiting()
        watcher.close()
        ledger.close()


@pytest.mark.parametrize("listens", [True, False], ids=["listens", "polls"])
def test_news_is_found_also_while_others_begin_to_wait_all_the_time(
    backend: Backend, ledger_url: str, connect: Callable[[str], Backend], listens: bool
) -> None:
    backend.write([start("w")])
    other, stop = connect(ledger_url), threading.Event()

    def begin() -> None:
        while not stop.wait(0.002):
            with ledger.news.watch(Kind.EVENT, "other", "k"):
                pass

    with watched(backend, listens=listens) as ledger, ledger.news.watch(Kind.EVENT, "w", "k") as watch:
        restless = threading.Thread(target=begin)
        restless.start()
        try:
            time.sleep(0.2)
            promise = watch.fresh()
            other.write([event("w", "k", executor=ALICE)])
            assert promise.wait(5)
        finally:
            stop.set()
            restless.join()


def test_polling_keeps_its_pace_while_others_begin_to_wait(backend: Backend) -> None:
    looks: list[str] = []
    with watched(backend, listens=False) as ledger, ledger.news.watch(Kind.EVENT, "w", "k"):
        backend.observe = lambda sql, _: looks.append(sql)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with ledger.news.watch(Kind.EVENT, "other", "k"):
                time.sleep(0.001)
    assert 1 <= len(looks) <= 25


def test_closing_does_not_wait_for_a_database_that_is_away(postgres_url: str) -> None:
    from durably.client import make_backend
    from durably.config import Settings

    host = postgres_url.rpartition("@")[2].split("/")[0]
    backend = make_backend(Settings("test", postgres_url.replace(host, "127.0.0.1:1")))
    with watched(backend, listens=True) as ledger, ledger.news.watch(Kind.EVENT, "w", "k"):
        time.sleep(1)
        began = time.monotonic()
    assert time.monotonic() - began < 4
