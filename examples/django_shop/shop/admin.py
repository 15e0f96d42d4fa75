"""The admin's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from examples.django_shop.shop.models import Item, Order

if TYPE_CHECKING:
    _OrderAdmin = admin.ModelAdmin[Order]
else:
    _OrderAdmin = admin.ModelAdmin


@admin.register(Order)
class OrderAdmin(_OrderAdmin):
    """Orders with their state."""

    list_display = ("order_id", "sku", "quantity", "state", "receipt")
    list_filter = ("state",)


admin.site.register(Item)
