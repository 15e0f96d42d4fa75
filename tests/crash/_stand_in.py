from __future__ import annotations
import contextlib
from typing import Any
from sqlalchemy import event, text
from sqlalchemy.orm import Session
from durably.adapter import transaction_handle

def session() -> Session:
    return transaction_handle(asynchronous=False, accessor="session")
def async_session() -> Any:
    return transaction_handle(asynchronous=True, accessor="async_session")

def _bind(engine):
    if engine.dialect.name == "sqlite":
        @event.listens_for(engine, "connect")
        def c(raw, _):
            raw.isolation_level = None
        @event.listens_for(engine, "begin")
        def b(conn):
            conn.exec_driver_sql(conn.get_execution_options().get("durably_begin", "BEGIN"))

class Sync:
    def __init__(self, engine):
        self.engine = engine
        self.dialect = engine.dialect.name
        self.paramstyle = "qmark" if self.dialect == "sqlite" else "format"
        _bind(engine)
    def ambient(self): return None
    @contextlib.contextmanager
    def begin(self, plan):
        with Session(self.engine.execution_options(durably_begin=plan.begin)) as s, s.begin():
            for one in plan.after:
                s.connection().exec_driver_sql(one)
            s.connection()
            yield s
    def flush(self, s): s.flush()
    def execute(self, s, sql, params=()):
        r = s.connection().exec_driver_sql(sql, tuple(params))
        return [tuple(x) for x in r] if r.returns_rows else []

class Async:
    def __init__(self, engine):
        self.engine = engine
        self.dialect = engine.dialect.name
        self.paramstyle = "qmark" if self.dialect == "sqlite" else ("dollar" if engine.dialect.driver == "asyncpg" else "format")
        _bind(engine.sync_engine)
    def ambient(self): return None
    @contextlib.asynccontextmanager
    async def begin(self, plan):
        from sqlalchemy.ext.asyncio import AsyncSession
        async with AsyncSession(self.engine.execution_options(durably_begin=plan.begin)) as s, s.begin():
            c = await s.connection()
            for one in plan.after:
                await c.exec_driver_sql(one)
            yield s
    async def flush(self, s): await s.flush()
    async def execute(self, s, sql, params=()):
        c = await s.connection()
        r = await c.exec_driver_sql(sql, tuple(params))
        return [tuple(x) for x in r] if r.returns_rows else []

def SQLAlchemy(engine):
    return Async(engine) if hasattr(engine, "sync_engine") else Sync(engine)
