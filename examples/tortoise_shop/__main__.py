"""The demo: places a few orders at once, one of them twice, one that cannot be had, and counts what is left."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tortoise import Tortoise

import durably
from durably import Durably
from durably_tortoise import TortoiseAdapter
from examples.tortoise_shop import payments
from examples.tortoise_shop.models import Item, Purchase
from examples.tortoise_shop.shop import OutOfStock, checkout

SHELF = {"duck": (499, 10), "mug": (990, 5)}
ORDERS = {  # of the mugs there are too few for one of them, whichever comes last
    "order-1": ("duck", 2),
    "order-2": ("duck", 1),
    "order-3": ("duck", 4),
    "order-4": ("mug", 3),
    "order-5": ("mug", 3),
    "order-6": ("duck", 3),
}


async def open_shop(folder: Path) -> None:
    """Set Tortoise up, make the tables, and fill the shelf."""
    await Tortoise.init(db_url=f"sqlite://{folder}/shop.db", modules={"models": ["examples.tortoise_shop.models"]})
    await Tortoise.generate_schemas()
    for sku, (unit_cents, stock) in SHELF.items():
        await Item.create(sku=sku, unit_cents=unit_cents, stock=stock)


async def place(order_id: str) -> str | None:
    """Place an order under its own id, and wait for its outcome; the receipt."""
    sku, quantity = ORDERS[order_id]
    with durably.workflow_options(workflow_id=order_id):
        handle = await durably.aio.start_workflow(checkout, order_id, sku, quantity)
    try:
        receipt = await handle.get_result()
    except OutOfStock as error:
        print(f"{order_id}: {error}")
        return None
    print(f"{order_id}: {quantity} × {sku}: {receipt}")
    return receipt


async def audit(receipts: dict[str, str | None]) -> list[str]:
    """What is off; nothing, if all is well."""
    stock = {item.sku: item.stock for item in await Item.all()}
    bought = await Purchase.all().order_by("order_id")
    print(f"left: {stock['duck']} ducks, {stock['mug']} mugs")
    print(f"{len(bought)} purchases, {len(payments.charges)} charges in {len(payments.requests)} requests")
    booked = [(one.order_id, one.cents) for one in bought]
    expected = [(order, ORDERS[order][1] * SHELF[ORDERS[order][0]][0]) for order in sorted(receipts) if receipts[order]]
    checks = {
        "the stock": stock == {"duck": 0, "mug": 2},
        "the purchases": len(bought) == len(ORDERS) - 1 and booked == expected,
        "the receipts": {one.order_id: one.receipt for one in bought}
        == {order: receipt for order, receipt in receipts.items() if receipt is not None},
        "the charges": sorted(payments.charges.values()) == booked,
    }
    return [what for what, right in checks.items() if not right]


async def main() -> int:
    """Run the demo; its exit status."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        await open_shop(folder)
        try:
            # Tortoise's connection first, then Durably; both on this event loop.
            async with Durably(
                "tortoise_shop",
                adapters={"default": TortoiseAdapter()},
                system_database_url=f"sqlite:///{folder}/shop.db",
            ):
                receipts = dict(zip(ORDERS, await asyncio.gather(*map(place, ORDERS)), strict=True))
                again = await place("order-1")  # gets the first one's outcome
            wrong = await audit(receipts)
        finally:
            await Tortoise.close_connections()
    if again != receipts["order-1"]:
        wrong.append("the repeated order")
    print(f"off: {', '.join(wrong)}" if wrong else "every number is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
