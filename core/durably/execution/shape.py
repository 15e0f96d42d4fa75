"""What an adapter must look like; found out when an engine takes it, and said in the words of its author.

Without this a forgotten method or decorator would show as an AttributeError in the midst of a transaction, or not at
all: an unawaited flush writes nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from durably.errors import ConfigurationError
from durably.sql.dialect import DIALECTS, Dialect
from durably.sql.failures import classify, is_transient

_METHODS = ("ambient", "begin", "execute")
#: What a synchronous adapter's callers do not await.
_UNAWAITED = ("flush", "savepoint", "close", "release", "url")
_PARAMSTYLES = ("qmark", "format", "dollar")


def check_methods(name: str, adapter: Any) -> None:
    """The methods are there and of the right kind. ConfigurationError. Its attributes are not asked for yet."""
    called = f"adapters={{{name!r}: ...}}"
    if isinstance(adapter, type):
        raise ConfigurationError(f"{called} is the class {adapter.__qualname__}; give it an instance", adapter=name)
    if isinstance(adapter, str):
        raise ConfigurationError(
            f"{called} is a string; an address goes into application_database_url, with app_db_client", adapter=name
        )
    kind = f"{type(adapter).__module__}.{type(adapter).__qualname__}"
    missing = [method for method in _METHODS if not callable(getattr(adapter, method, None))]
    if missing:
        raise ConfigurationError(
            f"{called} is a {kind}, which is no adapter, since it has no {' and no '.join(missing)}; give it an "
            "adapter of that ORM's, such as SQLAlchemy(engine), or see durably.adapter for how to write one",
            adapter=name,
        )
    asynchronous = inspect.iscoroutinefunction(adapter.execute)
    if not _gives_a_scope(adapter.begin, asynchronous):
        decorator = "@asynccontextmanager, since execute is an async def" if asynchronous else "@contextmanager"
        raise ConfigurationError(
            f"begin of {kind} must return {'an asynchronous' if asynchronous else 'a'} context manager; decorate it "
            f"with {decorator}",
            adapter=name,
        )
    unawaited = ("ambient", "savepoint", "url") if asynchronous else ("ambient", *_UNAWAITED)
    for method in unawaited:
        if inspect.iscoroutinefunction(getattr(adapter, method, None)):
            raise ConfigurationError(
                f"{method} of {kind} is an async def, and nobody would await it; make it a plain function"
                + ("" if asynchronous else ", or execute an async def, which is what makes an adapter asynchronous"),
                adapter=name,
            )


def _gives_a_scope(begin: Any, asynchronous: bool) -> bool:
    bare = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_bare(begin) for is_bare in bare):
        return False
    decorated = getattr(begin, "__wrapped__", None)
    other = inspect.isgeneratorfunction if asynchronous else inspect.isasyncgenfunction
    return decorated is None or not other(decorated)


def dialect_of(name: str, adapter: Any) -> Dialect:
    """The adapter's dialect; ConfigurationError if that, or its paramstyle, is not one of those there are."""
    for attribute, known in (("dialect", tuple(DIALECTS)), ("paramstyle", _PARAMSTYLES)):
        value = getattr(adapter, attribute)
        if value not in known:
            raise ConfigurationError(
                f"{attribute} of adapter {name!r} is {value!r}; it must be one of {', '.join(map(repr, known))}",
                adapter=name,
                setting=attribute,
                value=value,
            )
    return DIALECTS[adapter.dialect]


def check_rows(name: str, rows: Sequence[Any]) -> None:
    """They are tuples. Otherwise a dict's names would be taken for values. ConfigurationError."""
    if rows and not isinstance(rows[0], tuple):
        raise ConfigurationError(
            f"execute of adapter {name!r} gave a row that is a {type(rows[0]).__qualname__}; it must be a tuple",
            adapter=name,
        )


def says_no(name: str, error: Exception) -> bool:
    """Whether an error that came of trying the adapter out is the database's refusal, which is an answer.

    False: it is transient, and says nothing. ConfigurationError if the database has nothing to do with it.
    """
    if classify(error, connecting=True) is None:
        raise ConfigurationError(
            f"adapter {name!r} could not run its first statement, and that was not the database's doing: "
            f"{type(error).__name__}: {error}",
            adapter=name,
        ) from error
    return not is_transient(error, connecting=True)
