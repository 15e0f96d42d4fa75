"""What happens to an order, crashes or no crashes. Django imports this module in every process."""

from __future__ import annotations

import durably
from durably import step, transaction, workflow
from examples.django_shop.shop import payments
from examples.django_shop.shop.models import Item, Order


@transaction
def reserve(order_id: str) -> int:
    """Take it from the shelf; what it costs, or 0 if there is not enough."""
    order = Order.objects.get(pk=order_id)
    item = Item.objects.select_for_update().get(sku=order.sku)
    if item.stock < order.quantity:
        order.state = "refused"
        order.save()
        return 0
    item.stock -= order.quantity
    item.save()
    return item.cents * order.quantity


@step(max_attempts=5, interval_seconds=0.01)
def charge(order_id: str, cents: int) -> str:
    """Ask the provider; asked again with the same key, it charges once."""
    return payments.charge(order_id, cents, durably.step_key())


@transaction
def confirm(order_id: str, receipt: str) -> None:
    """Write down that it is paid."""
    Order.objects.filter(pk=order_id).update(state="paid", receipt=receipt)


@workflow
def checkout(order_id: str) -> str:
    """Reserve, charge, confirm."""
    cents = reserve(order_id)
    if not cents:
        return "sold out"
    receipt = charge(order_id, cents)
    confirm(order_id, receipt)
    return receipt
