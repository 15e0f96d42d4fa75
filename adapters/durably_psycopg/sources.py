"""Where connections come from: the user's pool, the user's function, or connections that the adapter keeps itself."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import psycopg
from psycopg import AsyncConnection, Connection

from durably import ConfigurationError
from durably_psycopg.addresses import checked, url_of
from durably_psycopg.kept import LIMIT, AsyncKeptConnections, KeptConnections

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    Target: TypeAlias = "ConnectionPool[Any] | Callable[[], Connection[Any]] | str"
    AsyncTarget: TypeAlias = "AsyncConnectionPool[Any] | Callable[[], Awaitable[AsyncConnection[Any]]] | str"


class Source(NamedTuple):
    """Connections for one adapter. On the asynchronous half ``take``, ``give`` and ``close`` are awaited."""

    take: Callable[[], Any]
    give: Callable[[Any], Any]
    #: The database's address, with its password, if it is known.
    url: str | None
    #: Closes what the adapter itself opened; None if that is nothing.
    close: Callable[[], Any] | None = None
    #: How many may be taken until one is found that is alive: those that were idle may have died.
    tries: int = 1

    @property
    def reused(self) -> bool:
        """Whether a connection may have served somebody before."""
        return self.tries > 1


def sync_source(target: Target) -> Source:
    """For what ``Psycopg`` was given; ConfigurationError."""
    if isinstance(target, str):
        conninfo = checked(target)
        kept = KeptConnections(conninfo)
        return Source(kept.take, kept.give, url_of(conninfo, None), kept.close, tries=LIMIT + 1)
    _refuse(target, "Psycopg", asynchronous=False)
    if not _is_pool(target):
        made: Any = target
        return Source(lambda: _made(made()), lambda connection: connection.close(), None)
    pool: Any = target

    def take() -> Any:
        try:
            return pool.getconn()
        except psycopg.OperationalError as error:
            _explain_closed(error)
            raise

    return Source(take, pool.putconn, url_of(pool.conninfo, pool.kwargs), tries=pool.max_size + 1)


def async_source(target: AsyncTarget) -> Source:
    """For what ``AsyncPsycopg`` was given; ConfigurationError."""
    if isinstance(target, str):
        conninfo = checked(target)
        kept = AsyncKeptConnections(conninfo)
        return Source(kept.take, kept.give, url_of(conninfo, None), kept.close, tries=LIMIT + 1)
    _refuse(target, "AsyncPsycopg", asynchronous=True)
    if not _is_pool(target):
        made: Any = target
        return Source(lambda: _made_async(made), lambda connection: connection.close(), None)
    pool: Any = target

    async def take() -> Any:
        try:
            return await pool.getconn()
        except psycopg.OperationalError as error:
            _explain_closed(error)
            raise

    return Source(take, pool.putconn, url_of(pool.conninfo, pool.kwargs), tries=pool.max_size + 1)


def _is_pool(target: object) -> bool:
    # By its methods, since psycopg_pool need not be installed.
    return callable(getattr(target, "getconn", None)) and callable(getattr(target, "putconn", None))


def _refuse(target: Any, adapter: str, *, asynchronous: bool) -> None:
    """ConfigurationError unless it is a pool or function, and of this kind as far as one can see."""
    takes = f"{adapter}(...) takes a pool, a function that makes a connection, or an address"
    if isinstance(target, (Connection, AsyncConnection)):
        raise ConfigurationError(
            f"{takes}, not a connection: transactions run side by side. Give it a function that makes one, for "
            "example: lambda: psycopg.connect(...)"
        )
    opens = target.getconn if _is_pool(target) else target
    if not callable(opens):
        raise ConfigurationError(f"{takes}, not {type(target).__name__}")
    if inspect.iscoroutinefunction(opens) and not asynchronous:
        raise ConfigurationError(f"{takes} for `def` transactions, and this one is asynchronous; use AsyncPsycopg(...)")
    if _is_pool(target) and asynchronous and not inspect.iscoroutinefunction(opens):
        raise ConfigurationError(f"{takes} for `async def` transactions, and this pool is not; use Psycopg(...)")


def _made(connection: Any) -> Connection[Any]:
    if isinstance(connection, Connection):
        return connection
    if inspect.iscoroutine(connection):
        connection.close()
    raise ConfigurationError(
        f"the function that Psycopg(...) was given made {type(connection).__name__}, and not a psycopg.Connection"
    )


async def _made_async(make: Callable[[], Any]) -> AsyncConnection[Any]:
    made = make()
    connection = await made if inspect.isawaitable(made) else made
    if isinstance(connection, AsyncConnection):
        return connection
    if isinstance(connection, Connection):
        connection.close()
    raise ConfigurationError(
        f"the function that AsyncPsycopg(...) was given made {type(connection).__name__}, and not a "
        "psycopg.AsyncConnection"
    )


def _explain_closed(error: psycopg.OperationalError) -> None:
    """ConfigurationError for a pool that is not open, which psycopg counts among the lost connections."""
    if type(error).__name__ == "PoolClosed":
        raise ConfigurationError(
            f"the connection pool of a psycopg adapter is not open ({error}); open it before the engine is launched, "
            "and close it after the engine's shutdown"
        ) from error
