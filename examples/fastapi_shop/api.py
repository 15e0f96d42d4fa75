"""The HTTP interface. Durably lives as long as the application does, on the event loop that serves the requests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import durably.aio
from durably import Durably, Status, WorkflowNotFoundError, workflow_options
from durably_sqlalchemy import SQLAlchemy
from examples.fastapi_shop.checkout import checkout
from examples.fastapi_shop.models import Item, open_shop

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


class Wish(BaseModel):
    """The body of POST /orders."""

    sku: str = "mug"
    quantity: int = Field(gt=0)


class Placed(BaseModel):
    """An order, and how far it is: PENDING, SUCCESS with a receipt, or ERROR with the reason."""

    order_id: str
    status: str
    receipt: str | None = None
    error: str | None = None


def create_app(database_url: str | None = None) -> FastAPI:
    """The application on one database: ``database_url``, else DATABASE_URL, else the file fastapi_shop.db."""
    url = make_url(database_url or os.environ.get("DATABASE_URL") or "sqlite:///fastapi_shop.db")
    engine = create_async_engine(url.set(drivername=DRIVERS.get(url.drivername, url.drivername)))
    shop = Durably("fastapi_shop", adapters={"default": SQLAlchemy(engine)})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await open_shop(engine)
        async with shop:  # from here on it also goes on with what an earlier process has left
            yield
        await engine.dispose()

    api = FastAPI(title="The shop", lifespan=lifespan)

    @api.post("/orders", status_code=202)
    async def place(wish: Wish, key: Annotated[str, Header(alias="Idempotency-Key")], response: Response) -> Placed:
        """Place an order. Sent again with the same key it is the same order, whatever happened to the first answer."""
        order_id = f"order-{key}"
        with workflow_options(workflow_id=order_id):
            handle = await durably.aio.start_workflow(checkout, order_id, wish.sku, wish.quantity)
        response.headers["Location"] = f"/orders/{order_id}"
        return Placed(order_id=order_id, status=(await handle.get_status()).status)

    @api.get("/orders/{order_id}")
    async def show(order_id: str) -> Placed:
        """How far an order is."""
        try:
            found = await durably.aio.get_workflow_status(order_id)
        except WorkflowNotFoundError:
            raise HTTPException(404, f"there is no order {order_id}") from None
        placed = Placed(order_id=order_id, status=found.status)
        if found.status is Status.SUCCESS:
            placed.receipt = await durably.aio.get_result(order_id, expect=str)
        elif found.status.is_final:
            placed.error = await _reason(order_id)
        return placed

    @api.get("/items/{sku}")
    async def item(sku: str) -> dict[str, Any]:
        """The stock, and the money that came in."""
        async with AsyncSession(engine) as session:
            found = await session.get(Item, sku)
        if found is None:
            raise HTTPException(404, f"there is no article {sku}")
        return {"sku": found.sku, "stock": found.stock, "revenue_cents": found.revenue_cents}

    return api


async def _reason(order_id: str) -> str:
    """What the workflow raised, or why Durably set it aside."""
    try:
        await durably.aio.get_result(order_id)
    except Exception as error:
        return str(error)
    return ""
