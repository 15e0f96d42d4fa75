"""The one classifier of database failures: what an exception means, whichever driver or ORM raised it.

ORMs wrap one and the same failure in different classes (``OperationalError``, ``InternalError``,
``DBAPIError``, ``TransactionManagementError``, or not at all), so the class says nothing. The driver's own
exception is found by following the chain, and judged by its code: SQLSTATE, errno or ``sqlite_errorcode``.
Where there is no code (a connection that died has none) its message is all there is. To support another
driver, add it to the last table of ``durably.sql.drivers``.

Errors of the user's own code are never taken for database failures: a ``ConnectionError`` of an HTTP call is
not one, and ``__context__`` (what happened to be handled at the time) is followed in two narrow cases only.
Never run a retry inside the ``except`` block of the try before it: the one's failure would be the other's
context.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from durably.errors import TransactionRetriesExceededError
from durably.sql.drivers import (
    Failure,
    attribute,
    classes_of,
    family,
    first_argument,
    is_sqlite_cantopen,
    says_postgresql,
    says_sqlite,
    sqlstate,
)


class Classified(NamedTuple):
    """A failure, and the driver's own exception that told it."""

    failure: Failure
    native: BaseException


_TRANSIENT = (Failure.RETRYABLE, Failure.CONNECTION)


def classify(error: BaseException, *, connecting: bool = False) -> Classified | None:
    """What ``error`` says of the database; None if it is no database failure at all.

    ``connecting=True`` says that only the driver or its pool was running, and no code of the user's: then a
    bare ``OSError`` (asyncpg's refused connection), a pool's time-out and a database file that cannot be
    opened are CONNECTION too. A transient failure anywhere in the chain outweighs the others.
    """
    chain = list(_chain(error, _links))
    found = [judged for each in chain if (judged := _judge(each, connecting))]
    if not found:
        return None
    best = min(found, key=_rank)
    if best.failure not in _TRANSIENT and any(_is_one_of(each, _REFUSALS) for each in chain):
        return Classified(Failure.ABORTED, best.native)
    return best


def is_transient(error: BaseException, *, connecting: bool = False) -> bool:
    """Whether running the whole transaction again may succeed; see :func:`classify`."""
    judged = classify(error, connecting=connecting)
    return judged is not None and judged.failure in _TRANSIENT


def was_cancelled(error: BaseException) -> bool:
    """Whether ``error`` is this task's cancellation, as itself or disguised as a lost connection.

    aiomysql and asyncmy close the connection when the task is cancelled, and the rollback that follows raises
    ``InterfaceError(0, ...)`` in place of the ``CancelledError``. A time-out is not a cancellation, although
    asyncio makes it from one; nor is an error that the server itself reported, met while cleaning up.
    """
    # None also while another thread is importing it: nothing can have been cancelled yet.
    cancelled_error = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", None)
    if cancelled_error is None:
        return False
    if isinstance(error, cancelled_error):
        return True
    chain = list(_chain(error, _links_beneath_disguise))
    cancelled = any(isinstance(each, cancelled_error) for each in chain)
    return cancelled and any(map(_may_disguise, chain))


# --- the chain ----------------------------------------------------------------------------------------------

_Links = Callable[[BaseException], "list[BaseException]"]
_CHAIN_LIMIT = 256


def _chain(error: BaseException, links: _Links) -> Iterator[BaseException]:
    """``error`` and what it links to, outermost first, each once."""
    seen: dict[int, BaseException] = {}  # keeps them alive, so that no id is used twice
    pending = [error]
    while pending and len(seen) < _CHAIN_LIMIT:
        current = pending.pop()
        if id(current) not in seen:
            seen[id(current)] = current
            yield current
            pending.extend(reversed(links(current)))


def _links(error: BaseException) -> list[BaseException]:
    """Where wrappers keep what they wrap: SQLAlchemy, ``raise from``, Peewee and Tortoise, groups."""
    if isinstance(error, TransactionRetriesExceededError):
        return []  # a verdict about transient failures, not one of them
    linked = [attribute(error, "orig"), error.__cause__, first_argument(error)]
    members = attribute(error, "exceptions")
    if isinstance(members, (tuple, list)):
        linked.extend(members)
    return [each for each in linked if isinstance(each, BaseException)]


def _links_beneath_disguise(error: BaseException) -> list[BaseException]:
    if _is_timeout(error):
        return []  # asyncio made it from a CancelledError that it has dealt with
    return [*_links(error), *_context(error)]


def _links_and_context(error: BaseException) -> list[BaseException]:
    return _links(error) if error.__suppress_context__ else [*_links(error), *_context(error)]


def _context(error: BaseException) -> list[BaseException]:
    return [] if error.__context__ is None else [error.__context__]


# --- one exception ------------------------------------------------------------------------------------------


def _judge(error: BaseException, connecting: bool) -> Classified | None:
    """What one exception says, with what was being handled when it says too little by itself."""
    if connecting and _is_refused(error):
        return Classified(Failure.CONNECTION, error)
    if _is_one_of(error, _PENDING_ROLLBACKS):
        lost = attribute(error, "code") == "8s2b"  # SQLAlchemy: "Can't reconnect until ... is rolled back"
        return Classified(Failure.CONNECTION if lost else Failure.ABORTED, error)
    if not _is_native(error):
        return None
    says = _says(error)
    if says is None:
        return _lost_before(error) or Classified(Failure.OTHER, error)
    if says is Failure.ABORTED:
        # Whoever caught a transient failure went on. (Where a driver awaits, asyncio has lost the context.)
        return _handled(error, _TRANSIENT) or Classified(says, error)
    return Classified(says, error)


def _is_refused(error: BaseException) -> bool:
    """No connection could be had, where nothing but the driver was running."""
    if isinstance(error, (OSError, EOFError)) or _is_one_of(error, _POOL_TIMEOUTS):
        return True
    return family(error) is says_sqlite and is_sqlite_cantopen(error)


def _lost_before(error: BaseException) -> Classified | None:
    """A driver's complaint without a code, made from a socket error or after its connection was lost."""
    if isinstance(error.__cause__, (OSError, EOFError)):
        return Classified(Failure.CONNECTION, error)
    return _handled(error, (Failure.CONNECTION,))


def _handled(error: BaseException, failures: tuple[Failure, ...]) -> Classified | None:
    """The latest such failure that was being handled when ``error`` was raised."""
    for each in _chain(error, _links_and_context):
        says = _says(each) if each is not error and _is_native(each) else None
        if says in failures:
            return Classified(says, each)
    return None


def _rank(judged: Classified) -> tuple[bool, bool]:
    """Transient before lasting, a known driver before whatever else has an SQLSTATE; then the outermost."""
    return judged.failure not in _TRANSIENT, family(judged.native) is None


def _is_native(error: BaseException) -> bool:
    """Whether ``error`` is a driver's: of a known one, or of any that gives an SQLSTATE."""
    if _is_one_of(error, _POOL_TIMEOUTS):
        return False
    return family(error) is not None or sqlstate(error) is not None


def _says(error: BaseException) -> Failure | None:
    """What a driver's exception says by itself; None if it has neither a code nor a message that is known."""
    return (family(error) or says_postgresql)(error)


def _may_disguise(error: BaseException) -> bool:
    return _is_native(error) and _says(error) in (None, Failure.CONNECTION)


def _is_one_of(error: BaseException, classes: frozenset[tuple[str, str]]) -> bool:
    return any(each in classes for each in classes_of(error))


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or ("asyncio", "TimeoutError") in classes_of(error)


# By name, because none of these packages may be imported here. Pools time out without asking the database:
_POOL_TIMEOUTS = frozenset(
    {
        ("psycopg_pool", "PoolTimeout"),
        ("psycopg_pool", "TooManyRequests"),
        ("sqlalchemy", "TimeoutError"),
        ("playhouse", "MaxConnectionsExceeded"),
        ("asyncio", "TimeoutError"),  # Python 3.10, where it is not yet the built-in one
    }
)
# SQLAlchemy refuses to go on after a swallowed error, and keeps no link to it:
_PENDING_ROLLBACKS = frozenset({("sqlalchemy", "PendingRollbackError")})
# Django refuses too, and the swallowed error is its cause:
_REFUSALS = frozenset({("django", "TransactionManagementError")})
