"""The worker process: places every order of a file, several at a time. It may be killed at any moment and run again."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

import durably
from durably import Durably
from examples.shop.orders import OrderLine, read_orders
from examples.shop.shop import checkout

AT_A_TIME = 8


def place(order: OrderLine) -> bool:
    """Place one order and wait for its outcome; whether it went well.

    The order's id is the workflow's: to start it again gets the one that is there, be it under way or done.
    """
    with durably.workflow_options(workflow_id=order.order_id):
        handle = durably.start_workflow(checkout, order.order_id, order.sku, order.quantity)
    try:
        handle.get_result()
    except Exception as error:
        print(f"order {order.order_id} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def main(
    orders_file: Annotated[Path, typer.Argument(help="The orders, as CSV.")],
    database_url: Annotated[str, typer.Option(envvar="SHOP_DATABASE_URL", help="The shop's own database.")],
) -> None:
    """Place every order of a file."""
    app = Durably(name="shop", application_database_url=database_url, app_db_client="sqlalchemy")
    orders = read_orders(orders_file)
    with app, ThreadPoolExecutor(AT_A_TIME) as pool:
        placed = list(pool.map(place, orders))
    raise typer.Exit(0 if all(placed) else 1)


if __name__ == "__main__":
    typer.run(main)
