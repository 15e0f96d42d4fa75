"""What is on the shelf, and what was ordered."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    """One kind of thing, with how many of it are left."""

    sku: models.CharField[str, str] = models.CharField(max_length=40, primary_key=True)
    stock: models.IntegerField[int, int] = models.IntegerField()
    cents: models.IntegerField[int, int] = models.IntegerField()


class Order(models.Model):
    """One order; the receipt is there once it is paid."""

    order_id: models.CharField[str, str] = models.CharField(max_length=40, primary_key=True)
    sku: models.CharField[str, str] = models.CharField(max_length=40)
    quantity: models.IntegerField[int, int] = models.IntegerField()
    state: models.CharField[str, str] = models.CharField(max_length=20, default="placed")
    receipt: models.CharField[str, str] = models.CharField(max_length=80, blank=True)

    def __str__(self) -> str:
        return f"{self.order_id}: {self.quantity} × {self.sku}"
