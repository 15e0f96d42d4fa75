"""The demo: six orders through the web, every number checked. See README.md."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django

ORDERS = [("o-1", "mug", 2), ("o-2", "mug", 3), ("o-3", "pot", 1), ("o-4", "pot", 9), ("o-5", "mug", 1)]
SHELF = {"mug": (20, 990), "pot": (5, 2500)}


def main(folder: str) -> int:
    """Run it in a folder; the exit code."""
    os.environ.update(DJANGO_SETTINGS_MODULE="examples.django_shop.settings", SHOP_FOLDER=folder)
    django.setup()
    prepare()
    place_orders()
    show_admin()
    return report()


def prepare() -> None:
    """The tables, a shelf, and somebody who may look."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from examples.django_shop.shop.models import Item

    call_command("migrate", verbosity=0)
    for sku, (stock, cents) in SHELF.items():
        Item.objects.get_or_create(sku=sku, defaults={"stock": stock, "cents": cents})
    if not User.objects.exists():
        User.objects.create_superuser("admin", password="admin")  # noqa: S106


def place_orders() -> None:
    """As a browser does, while this process does the worker's work; the first order is sent twice."""
    from django.test import Client

    from durably_django import executing

    browser = Client()
    with executing():
        for order_id, sku, quantity in [*ORDERS, ORDERS[0]]:
            print(f"{order_id}: sent, and answered {browser.post(f'/orders/{order_id}/{sku}/{quantity}').status_code}")
        for order_id, _, _ in ORDERS:
            print(f"{order_id}: {browser.get(f'/orders/{order_id}').json()['outcome']}")


def show_admin() -> None:
    """Look at the admin's page of orders."""
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client()
    browser.force_login(User.objects.get())
    page = browser.get("/admin/shop/order/")
    listed = sum(order_id in page.content.decode() for order_id, _, _ in ORDERS)
    print(f"the admin's page answers {page.status_code} and lists {listed} orders")
    if (page.status_code, listed) != (200, len(ORDERS)):
        raise SystemExit("the admin's page is not what it should be")


def report() -> int:
    """Compare what there is with what there should be; how many numbers are off."""
    off = 0
    for what, found, expected in numbers():
        print(f"{what}: {found}" if found == expected else f"{what}: {found}, and it should be {expected}")
        off += found != expected
    return 1 if off else 0


def numbers() -> Iterator[tuple[str, int, int]]:
    """What is counted: how many there are, and how many there should be."""
    from examples.django_shop.shop.models import Item, Order
    from examples.django_shop.shop.payments import CHARGES

    paid = [(sku, quantity) for _, sku, quantity in ORDERS if quantity <= SHELF[sku][0]]
    for sku, (stock, _) in SHELF.items():
        yield f"{sku} left", Item.objects.get(sku=sku).stock, stock - sum(n for one, n in paid if one == sku)
    yield "orders paid", Order.objects.filter(state="paid").exclude(receipt="").count(), len(paid)
    yield "orders refused", Order.objects.filter(state="refused").count(), len(ORDERS) - len(paid)
    yield "cents charged", sum(CHARGES.values()), sum(SHELF[sku][1] * quantity for sku, quantity in paid)
    yield "charges", len(CHARGES), len(paid)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        raise SystemExit(main(str(Path(sys.argv[1]).resolve())))
    with tempfile.TemporaryDirectory(prefix="durably-django-shop-") as temporary:
        raise SystemExit(main(temporary))
