"""Making adapters: from what the user has, and from an address alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, async_scoped_session, async_sessionmaker, create_async_engine

from durably import ConfigurationError
from durably_sqlalchemy import urls
from durably_sqlalchemy.asynchronous import AsyncSQLAlchemyAdapter
from durably_sqlalchemy.synchronous import SQLAlchemyAdapter
from durably_sqlalchemy.targets import async_target, sync_target

if TYPE_CHECKING:
    from sqlalchemy.orm import scoped_session, sessionmaker


@overload
def SQLAlchemy(target: Engine | sessionmaker[Any] | scoped_session[Any], /) -> SQLAlchemyAdapter: ...
@overload
def SQLAlchemy(
    target: AsyncEngine | async_sessionmaker[Any] | async_scoped_session[Any], /
) -> AsyncSQLAlchemyAdapter: ...
@overload
def SQLAlchemy(target: str, /) -> SQLAlchemyAdapter | AsyncSQLAlchemyAdapter: ...
def SQLAlchemy(target: Any, /) -> SQLAlchemyAdapter | AsyncSQLAlchemyAdapter:
    """An adapter for one half: an engine or sessionmaker gives ``def`` transactions, an asynchronous one ``async def``.

    A sessionmaker's class and options are kept; it must be bound to one engine. With a scoped session, code that uses
    it globally works on the transaction's session, and a transaction that it has open already is noticed. An address
    gives the half of its driver (synchronous unless it names an asynchronous one), on an engine that the adapter makes
    and disposes. Nothing is connected here. ConfigurationError.
    """
    if isinstance(target, str):
        url = urls.parse(target)
        return _from_async_url(url) if urls.named_driver(url) in urls.ASYNC_DRIVERS else _from_sync_url(url)
    if isinstance(target, (AsyncEngine, async_sessionmaker, async_scoped_session)):
        return AsyncSQLAlchemyAdapter(async_target(target))
    return SQLAlchemyAdapter(sync_target(target))


def from_url(url: str) -> Sequence[SQLAlchemyAdapter | AsyncSQLAlchemyAdapter]:
    """Both halves for an address, what ``app_db_client: sqlalchemy`` stands for.

    SQLite through the standard library and aiosqlite; PostgreSQL through psycopg and asyncpg, or psycopg alone; MySQL
    and MariaDB through PyMySQL and asyncmy, or aiomysql. The asynchronous half is left out if none of its drivers is
    installed, the synchronous one if the address names an asynchronous driver and the other is missing.
    """
    parsed = urls.parse(url)
    halves: list[SQLAlchemyAdapter | AsyncSQLAlchemyAdapter] = []
    blocking, awaited = urls.sync_url(parsed), urls.async_url(parsed)
    driver = urls.named_driver(blocking)
    if urls.named_driver(parsed) not in urls.ASYNC_DRIVERS or driver is None or urls.is_installed(driver):
        halves.append(_from_sync_url(parsed))
    if awaited is not None:
        halves.append(_from_async_url(awaited))
    return halves


def _from_sync_url(url: URL) -> SQLAlchemyAdapter:
    return SQLAlchemyAdapter(sync_target(_made(create_engine, urls.sync_url(url)), made=True))


def _from_async_url(url: URL) -> AsyncSQLAlchemyAdapter:
    return AsyncSQLAlchemyAdapter(async_target(_made(create_async_engine, url), made=True))


def _made(create: Any, url: URL) -> Any:
    try:
        return create(url)
    except ModuleNotFoundError as error:
        raise urls.missing(urls.named_driver(url) or url.drivername, str(error.name)) from error
    except NoSuchModuleError as error:
        raise ConfigurationError(
            f"SQLAlchemy knows no database or driver {url.drivername!r}; an address begins with postgresql://, "
            "sqlite:/// or mysql://, or names an installed driver as in postgresql+psycopg://",
            driver=url.drivername,
        ) from error
