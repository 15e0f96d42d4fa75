"""How the classifier finds a driver's error in a chain, and what it leaves alone."""

from __future__ import annotations

import asyncio
import builtins
import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import psycopg_pool
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import exc as sa_exc

from durably.errors import SerializationError, TransactionRetriesExceededError
from durably.sql.drivers import Failure
from durably.sql.failures import classify, is_transient, was_cancelled

Conflict = psycopg.errors.SerializationFailure
Taken = psycopg.errors.UniqueViolation


def failure_of(error: BaseException, *, connecting: bool = False) -> Failure | None:
    found = classify(error, connecting=connecting)
    return found.failure if found else None


def foreign(module: str, name: str, *bases: type[Any], **attributes: Any) -> type[Any]:
    """An exception class as a package that is not installed here would define it."""
    return type(name, bases or (Exception,), {"__module__": module, **attributes})


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def handling(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


# --- where wrappers keep what they wrap ---------------------------------------------------------------------


def with_orig(native: BaseException) -> BaseException:
    error = Exception("wrapped")
    error.orig = native  # type: ignore[attr-defined]
    return error


class Group(Exception):
    """As ExceptionGroup, which Python 3.10 does not have."""

    def __init__(self, *exceptions: BaseException) -> None:
        super().__init__("several")
        self.exceptions = exceptions


WRAPPERS: list[Callable[[BaseException], BaseException]] = [
    lambda native: native,
    with_orig,
    lambda native: caused_by(ValueError("no"), native),
    lambda native: Exception(native),
    lambda native: Group(ValueError("no"), native),
    lambda native: Group(caused_by(KeyError("k"), with_orig(native))),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize(("native", "failure"), [(Conflict("x"), Failure.RETRYABLE), (Taken("x"), Failure.UNIQUE)])
def test_the_drivers_own_error_is_found(
    wrap: Callable[[BaseException], BaseException], native: BaseException, failure: Failure
) -> None:
    assert classify(wrap(native)) == (failure, native)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_a_task_groups_error() -> None:
    group = vars(builtins)["ExceptionGroup"]
    assert failure_of(group("tasks", [ValueError("no"), group("more", [Conflict("x")])])) is Failure.RETRYABLE


def test_transient_outweighs_lasting() -> None:
    assert failure_of(Group(psycopg.errors.InFailedSqlTransaction("x"), Conflict("x"))) is Failure.RETRYABLE
    assert failure_of(caused_by(Taken("x"), psycopg.errors.AdminShutdown("x"))) is Failure.CONNECTION


def test_a_known_driver_is_preferred_to_a_wrapper_that_copies_its_code() -> None:
    adapter = foreign("sqlalchemy.dialects.postgresql.asyncpg", "Error", sqlstate="40001")("x")
    native = Conflict("x")
    assert classify(caused_by(adapter, native)) == (Failure.RETRYABLE, native)


@pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
def test_an_unknown_driver_is_known_by_its_sqlstate(name: str) -> None:
    assert failure_of(foreign("newdriver", "Error", **{name: "40P01"})("x")) is Failure.RETRYABLE
    assert failure_of(foreign("newdriver", "Error", **{name: "99999"})("x")) is Failure.OTHER
    for nonsense in ("", "4000", "400011", "40p01", 40001, None, b"40001"):
        assert failure_of(foreign("newdriver", "Error", **{name: nonsense})("x")) is None


def test_a_users_subclass_of_a_drivers_error_is_one() -> None:
    assert failure_of(foreign("shop.errors", "Busy", Conflict)("x")) is Failure.RETRYABLE


def test_cycles_and_endless_chains_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert classify(first) is None
    last: BaseException = Conflict("x")
    for _ in range(1000):
        last = caused_by(ValueError("link"), last)
    assert classify(last) is None  # too deep to be a wrapper
    itself = ValueError()
    itself.args = (itself,)
    assert classify(itself) is None


def test_an_exception_whose_attributes_raise() -> None:
    class Hostile(Exception):
        @property
        def sqlstate(self) -> str:
            raise RuntimeError("no")

        orig = exceptions = args = pgcode = sqlstate  # type: ignore[assignment]

        def __str__(self) -> str:
            raise RuntimeError("no")

    assert classify(Hostile()) is None
    assert classify(foreign("psycopg", "OperationalError", Hostile)()) is not None
    assert classify(foreign("sqlite3", "OperationalError", Hostile)()) is not None
    assert classify(foreign("pymysql.err", "OperationalError", Hostile)()) is not None


# --- what is no database failure ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("HTTP"),
        ConnectionRefusedError(111, "Connection refused"),
        ConnectionResetError("the connection is closed"),
        TimeoutError(),
        asyncio.TimeoutError(),
        OSError(28, "disk full"),
        EOFError(),
        ValueError("database is locked"),
        RuntimeError("server closed the connection unexpectedly"),
        KeyboardInterrupt(),
        foreign("httpx", "ConnectError")("connection refused"),
        foreign("requests.exceptions", "ConnectionError", OSError)("connection refused"),
    ],
)
def test_the_users_own_errors_are_none(error: BaseException) -> None:
    assert classify(error) is None
    assert not is_transient(error)
    assert not was_cancelled(error)


def test_an_error_raised_while_handling_a_failure_is_the_users() -> None:
    assert classify(handling(ValueError("out of stock"), Conflict("x"))) is None
    assert failure_of(handling(Taken("x"), Conflict("x"))) is Failure.UNIQUE


def test_our_own_verdict_is_not_a_transient_failure_again() -> None:
    assert classify(caused_by(TransactionRetriesExceededError("for 60 s"), Conflict("x"))) is None
    assert failure_of(caused_by(SerializationError("lazy load"), Conflict("x"))) is Failure.RETRYABLE


def test_only_while_connecting_are_the_drivers_bare_errors_taken_for_failures() -> None:
    widened = [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(),
        asyncio.TimeoutError(),
        EOFError(),
        psycopg_pool.PoolTimeout("couldn't get a connection after 2.00 sec"),
        psycopg_pool.TooManyRequests("the pool has already 9 requests waiting"),
        sa_exc.TimeoutError("QueuePool limit"),
        foreign("playhouse.pool", "MaxConnectionsExceeded", ValueError)("Max connections exceeded"),
    ]
    for error in widened:
        wrapped = caused_by(foreign("django.db.utils", "OperationalError")("x"), error)
        assert (failure_of(error), failure_of(wrapped)) == (None, None)
        assert failure_of(error, connecting=True) is Failure.CONNECTION
        assert failure_of(wrapped, connecting=True) is Failure.CONNECTION
    assert failure_of(ValueError("no"), connecting=True) is None
    assert failure_of(psycopg_pool.PoolClosed("the pool is closed"), connecting=True) is Failure.OTHER


# --- what the context tells ---------------------------------------------------------------------------------


def test_a_drivers_complaint_after_its_connection_was_lost() -> None:
    complaint = psycopg.ProgrammingError("no result available")
    assert failure_of(complaint) is Failure.OTHER
    assert failure_of(handling(complaint, psycopg.errors.AdminShutdown("x"))) is Failure.CONNECTION
    assert failure_of(handling(psycopg.ProgrammingError("x"), Conflict("x"))) is Failure.OTHER
    assert failure_of(handling(psycopg.ProgrammingError("x"), ConnectionError("HTTP"))) is Failure.OTHER
    hidden = handling(psycopg.ProgrammingError("x"), psycopg.errors.AdminShutdown("x"))
    hidden.__suppress_context__ = True
    assert failure_of(hidden) is Failure.OTHER


def test_a_drivers_error_made_from_a_socket_error() -> None:
    error = caused_by(psycopg.OperationalError("strange"), ConnectionResetError(104, "reset by peer"))
    assert classify(error) == (Failure.CONNECTION, error)


def test_django_refuses_to_go_on_after_a_swallowed_error() -> None:
    refusal = foreign("django.db.transaction", "TransactionManagementError")
    wrapped = foreign("django.db.utils", "IntegrityError")
    native = Taken("x")
    assert classify(caused_by(refusal("x"), caused_by(wrapped("x"), native))) == (Failure.ABORTED, native)
    assert failure_of(caused_by(refusal("x"), Conflict("x"))) is Failure.RETRYABLE
    assert classify(refusal("This is forbidden when an 'atomic' block is active.")) is None


def test_tortoises_error_of_that_name_is_only_a_wrapper() -> None:
    wrapper = foreign("tortoise.exceptions", "TransactionManagementError")
    assert failure_of(wrapper(psycopg.errors.ReadOnlySqlTransaction("x"))) is Failure.READ_ONLY


# --- messages without a code --------------------------------------------------------------------------------

AT = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (AT + "Connection refused\n\tIs the server running on that host?", Failure.CONNECTION),
        (AT + "timeout expired", Failure.CONNECTION),
        (AT + "SSL error: unexpected eof while reading", Failure.CONNECTION),
        (AT + "FATAL:  the database system is starting up", Failure.CONNECTION),
        (AT + "FATAL:  the database system is in recovery mode", Failure.CONNECTION),
        (AT + "FATAL:  the database system is shutting down", Failure.CONNECTION),
        (AT + "FATAL:  sorry, too many clients already", Failure.CONNECTION),
        (AT + "FATAL:  remaining connection slots are reserved for roles", Failure.CONNECTION),
        (AT + 'FATAL:  database "shop" does not exist', Failure.OTHER),
        (AT + 'FATAL:  database "shop" is not currently accepting connections', Failure.OTHER),
        (AT + 'FATAL:  password authentication failed for user "ada"', Failure.OTHER),
        (AT + "Connection refused\nFATAL:  password authentication failed", Failure.OTHER),  # two addresses
        (AT + "fe_sendauth: no password supplied", Failure.OTHER),
        ("connection timeout expired", Failure.CONNECTION),
        ("the connection is closed", Failure.CONNECTION),
        ("the connection is lost", Failure.CONNECTION),
        ("consuming input failed: server closed the connection unexpectedly", Failure.CONNECTION),
        ("consuming input failed: FATAL:  terminating connection due to administrator", Failure.CONNECTION),
        ("SSL connection has been closed unexpectedly", Failure.CONNECTION),
        ("SSL SYSCALL error: EOF detected", Failure.CONNECTION),
        ("could not receive data from server: Connection timed out", Failure.CONNECTION),
        ("sending query failed: another command is already in progress", Failure.OTHER),
        ("", Failure.OTHER),
    ],
)
@pytest.mark.parametrize("module", ["psycopg", "psycopg2"])
def test_what_libpq_says(module: str, message: str, failure: Failure) -> None:
    assert failure_of(foreign(module, "OperationalError")(message)) is failure


@pytest.mark.parametrize("name", ["DataError", "ProgrammingError", "IntegrityError", "NotSupportedError"])
def test_messages_that_quote_values_prove_nothing(name: str) -> None:
    assert failure_of(foreign("psycopg", name)("cannot adapt 'the connection is closed'")) is Failure.OTHER


# --- MySQL and MariaDB --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errno", "failure"),
    [
        (1205, Failure.RETRYABLE),
        (1213, Failure.RETRYABLE),
        (1020, Failure.RETRYABLE),
        (2006, Failure.CONNECTION),
        (2013, Failure.CONNECTION),
        (2003, Failure.CONNECTION),
        (2002, Failure.CONNECTION),
        (1927, Failure.CONNECTION),
        (1053, Failure.CONNECTION),
        (1040, Failure.CONNECTION),
        (1062, Failure.UNIQUE),
        (1792, Failure.READ_ONLY),
        (1064, Failure.OTHER),  # syntax
        (1146, Failure.OTHER),  # no such table
        (1153, Failure.OTHER),  # packet too large
        (1452, Failure.OTHER),  # foreign key
    ],
)
@pytest.mark.parametrize(
    "module", ["pymysql.err", "MySQLdb._exceptions", "asyncmy.errors", "aiomysql", "mysql.connector.errors"]
)
def test_mysqls_errno(module: str, errno: int, failure: Failure) -> None:
    error = foreign(module, "OperationalError")(errno, "text")
    assert failure_of(error) is failure
    assert failure_of(foreign("peewee", "OperationalError")(error)) is failure  # Peewee, Tortoise
    error.sqlstate = "08S01" if errno == 1153 else "HY000"  # PyMySQL: too wide to be heard first
    assert failure_of(error) is failure


def test_mysqls_errno_as_an_attribute() -> None:
    assert failure_of(foreign("mysql.connector.errors", "DatabaseError", errno=1213)("text")) is Failure.RETRYABLE
    assert failure_of(foreign("mariadb", "OperationalError", errno=2013)("text")) is Failure.CONNECTION


@pytest.mark.parametrize("text", ["", "Not connected", "Cancelled during execution"])
def test_mysqls_closed_connection(text: str) -> None:
    assert failure_of(foreign("pymysql.err", "InterfaceError")(0, text)) is Failure.CONNECTION
    if text:  # aiomysql, without the errno
        assert failure_of(foreign("pymysql.err", "InterfaceError")(text)) is Failure.CONNECTION
    assert failure_of(foreign("pymysql.err", "OperationalError")(0, text)) is Failure.OTHER


def test_an_errno_that_is_not_known_is_judged_by_its_sqlstate() -> None:
    assert failure_of(foreign("pymysql.err", "OperationalError", sqlstate="08S01")(1047, "wsrep")) is Failure.CONNECTION
    assert failure_of(foreign("pymysql.err", "IntegrityError", sqlstate="23000")(1452, "fk")) is Failure.OTHER
    assert failure_of(foreign("pymysql.err", "ProgrammingError")({"not": "hashable"})) is Failure.OTHER
    assert failure_of(foreign("pymysql.err", "ProgrammingError")("Cursor closed")) is Failure.OTHER


# --- cancellation -------------------------------------------------------------------------------------------

Lost = foreign("pymysql.err", "InterfaceError")


def test_a_cancellation_is_one() -> None:
    assert was_cancelled(asyncio.CancelledError())


@pytest.mark.parametrize(
    "disguise",
    [
        lambda cancelled: handling(Lost(0, "Cancelled during execution"), cancelled),
        lambda cancelled: caused_by(Lost(0, ""), cancelled),
        lambda cancelled: foreign("peewee", "InterfaceError")(handling(Lost(0, ""), cancelled)),
        lambda cancelled: handling(foreign("peewee", "InterfaceError")(Lost(0, "")), cancelled),
        lambda cancelled: handling(Lost(0, ""), handling(Lost(2013, "lost"), cancelled)),
    ],
)
def test_a_cancellation_in_disguise(disguise: Callable[[BaseException], BaseException]) -> None:
    error = disguise(asyncio.CancelledError())
    assert failure_of(error) is Failure.CONNECTION
    assert was_cancelled(error)


def test_a_time_out_is_no_cancellation() -> None:
    async def times_out() -> None:
        await asyncio.wait_for(asyncio.sleep(10), 0.001)

    with pytest.raises(asyncio.TimeoutError) as caught:
        asyncio.run(times_out())
    assert not was_cancelled(caught.value)
    assert not was_cancelled(handling(Lost(2006, "server has gone away"), caught.value))


def test_an_error_met_while_cleaning_up_after_a_cancellation_is_none() -> None:
    cancelled = asyncio.CancelledError()
    assert not was_cancelled(handling(ValueError("no"), cancelled))
    assert not was_cancelled(handling(Conflict("x"), cancelled))
    assert not was_cancelled(handling(sqlite3.OperationalError("database is locked"), cancelled))


def test_without_asyncio_nothing_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio.exceptions")
    assert not was_cancelled(handling(Lost(0, ""), ValueError("no")))
    assert "asyncio.exceptions" not in sys.modules


# --- any chain of ordinary exceptions -----------------------------------------------------------------------

ORDINARY: Sequence[Callable[[str], BaseException]] = [
    Exception,
    ValueError,
    KeyError,
    RuntimeError,
    OSError,
    ConnectionRefusedError,
    ConnectionResetError,
    TimeoutError,
    EOFError,
    AssertionError,
    StopIteration,
    asyncio.TimeoutError,
    asyncio.CancelledError,
    lambda _: Group(),
    foreign("django.core.exceptions", "ValidationError"),
    foreign("sqlalchemy.exc", "InvalidRequestError"),
    foreign("httpx", "ConnectError"),
]
TEXTS = st.sampled_from(["", "database is locked", "the connection is closed", "40001", "UNIQUE constraint failed"])


@st.composite
def tangles(draw: st.DrawFn, also: Sequence[Callable[[str], BaseException]] = ()) -> list[BaseException]:
    """Exceptions linked in every way there is, in circles too."""
    made = [draw(st.sampled_from([*ORDINARY, *also]))(draw(TEXTS)) for _ in range(draw(st.integers(1, 8)))]
    several = st.lists(st.sampled_from(made), max_size=3)
    one = st.sampled_from(made)
    for error in made:
        for name in draw(st.sets(st.sampled_from(["__cause__", "__context__", "orig"]))):
            setattr(error, name, draw(one))
        if draw(st.booleans()):
            error.args = tuple(draw(several))
        if draw(st.booleans()):
            error.exceptions = draw(several)  # type: ignore[attr-defined]
    return made


@given(tangles())
def test_no_chain_of_ordinary_exceptions_is_a_database_failure(made: list[BaseException]) -> None:
    for error in made:
        assert classify(error) is None
        assert not is_transient(error)
        assert was_cancelled(error) is isinstance(error, asyncio.CancelledError)


@given(tangles(also=[Conflict, Taken]), st.sampled_from(WRAPPERS), st.booleans())
def test_every_error_is_judged_and_a_wrapped_conflict_is_always_found(
    made: list[BaseException], wrap: Callable[[BaseException], BaseException], connecting: bool
) -> None:
    for error in made:
        classify(error, connecting=connecting)
        was_cancelled(error)
    assert failure_of(wrap(Group(made[0], Conflict("x"))), connecting=connecting) in (
        Failure.RETRYABLE,
        Failure.CONNECTION,
    )
