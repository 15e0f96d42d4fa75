"""The shop's tables."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Item(Model):
    """What is on the shelf."""

    sku = fields.CharField(max_length=40, primary_key=True)
    unit_cents = fields.IntField()
    stock = fields.IntField()


class Purchase(Model):
    """What was ordered, and the receipt once it is paid."""

    order_id = fields.CharField(max_length=40, primary_key=True)
    sku = fields.CharField(max_length=40)
    quantity = fields.IntField()
    cents = fields.IntField()
    receipt = fields.CharField(max_length=40, null=True)
