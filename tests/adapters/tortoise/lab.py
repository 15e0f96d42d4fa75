"""One application on Tortoise: its database and models, a launched Durably, and what is committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tortoise import Tortoise
from tortoise.connection import connections

import durably
from durably import Durably
from durably_tortoise import TortoiseAdapter
from tests.adapters.tortoise.subject import MODELS, Counter, Item, tortoise_url

Body = Callable[[], Coroutine[Any, Any, Any]]


class Refused(Exception):
    """The user's own error."""


@dataclass
class Lab:
    """An application whose Tortoise is set up, and whose Durably is launched unless it is told otherwise."""

    driver: str
    #: The database's address, as Durably writes it, and as Tortoise does.
    url: str
    address: str
    system_url: str
    adapter: TortoiseAdapter

    @property
    def dialect(self) -> str:
        return self.url.partition("://")[0]

    @property
    def client(self) -> Any:
        """What the models use here."""
        return connections.get(self.driver)

    @asynccontextmanager
    async def launched(self, adapter: Any = None, **settings: Any) -> AsyncIterator[Durably]:
        """Durably on the adapter; co-located where that can be."""
        settings.setdefault("lease_seconds", 5.0)
        adapters = {"default": adapter or self.adapter}
        app = Durably("lab", adapters=adapters, system_database_url=self.system_url, **settings)
        async with app:
            yield app

    @staticmethod
    async def run(body: Body, workflow_id: str | None = None, **options: Any) -> Any:
        """Run one workflow of one transaction; what the transaction returned."""
        call = durably.transaction(name=body.__name__, **options)(body)

        @durably.workflow(name="flow")
        async def flow() -> Any:
            return await call()

        with durably.workflow_options(workflow_id=workflow_id):
            return await flow()

    async def items(self) -> list[int]:
        """The rows, as another connection sees them unless the caller is in a transaction."""
        return [item.n for item in await Item.all().order_by("n")]


@asynccontextmanager
async def lab(
    driver: str, url: str, folder: Path, *, options: str = "", pool: int = 16, **init: Any
) -> AsyncIterator[Lab]:
    """Tortoise initialised on an empty database, under a connection name of the driver's."""
    address = tortoise_url(url, postgresql=driver, connections=pool) + options
    await initialise(driver, address, **init)
    try:
        await Tortoise.generate_schemas()
        await Counter.create(id=1, n=0)
        system_url = url if url.startswith("postgresql") else f"sqlite:///{folder}/system.db"
        yield Lab(driver, url, address, system_url, TortoiseAdapter(driver))
    finally:
        await Tortoise.close_connections()


async def initialise(name: str, address: str, **init: Any) -> None:
    """What an application does at its start."""
    await Tortoise.init(
        config={
            "connections": {name: address},
            "apps": {"models": {"models": [MODELS], "default_connection": name}},
        },
        **init,
    )


def adding(n: int) -> Body:
    """A body that writes one row."""

    async def body() -> int:
        await Item.create(n=n)
        return n

    body.__name__ = f"add_{n}"
    return body
